"""What a run says of itself: run.json, with everything needed to repeat it."""

from __future__ import annotations

import importlib.metadata
import platform

import pyogrio
import rasterio

from geofcs import __version__

PACKAGES = ("torch", "numpy", "scipy", "rasterio", "pyproj", "shapely", "pyogrio", "dask", "distributed", "safetensors")


def versions() -> dict[str, str]:
    """The versions of geofcs and of everything that has a say in the bytes; rasterio and pyogrio each bring a GDAL."""
    return {
        "geofcs": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "gdal of rasterio": rasterio.__gdal_version__,
        "gdal of pyogrio": ".".join(map(str, pyogrio.__gdal_version__)),
    }
