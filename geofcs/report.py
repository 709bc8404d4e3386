"""What a run says of itself: run.json, with everything needed to repeat it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from pathlib import Path

import pyogrio
import rasterio

from geofcs import __version__
from geofcs.journal import PLAN_FILE

PACKAGES = ("torch", "numpy", "scipy", "rasterio", "pyproj", "shapely", "pyogrio", "dask", "distributed", "safetensors")

READ_BYTES = 1 << 24


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


def described_outputs(folder: Path) -> dict[str, dict[str, int | str]]:
    """Size in bytes and SHA-256 of each product in `folder`, by name."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != PLAN_FILE
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
