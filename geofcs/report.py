"""What a run says of the software that made it."""

from __future__ import annotations

import importlib.metadata
import platform

import rasterio

from geofcs import __version__

PACKAGES = ("torch", "numpy", "scipy", "rasterio", "pyproj", "shapely", "pyogrio", "dask", "distributed", "safetensors")


def decisive_versions() -> dict[str, str]:
    """Those that have a say in the rasters' bytes: of two halves of a run both must be made by the same."""
    return {
        "geofcs": __version__,
        "torch": importlib.metadata.version("torch"),
        "gdal of rasterio": rasterio.__gdal_version__,
    }


def versions() -> dict[str, str]:
    """The versions of everything that has a say in the products; rasterio and pyogrio each bring a GDAL."""
    import pyogrio  # brings pandas, which takes a second: only where polygons are written, or all must be known

    return {
        **decisive_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "gdal of pyogrio": ".".join(map(str, pyogrio.__gdal_version__)),
    }
