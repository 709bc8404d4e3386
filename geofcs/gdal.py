"""The GDAL settings under which geofcs writes its own files and reads them back."""

from __future__ import annotations

import warnings

import rasterio
from rasterio.errors import NotGeoreferencedWarning

BLOCK_CACHE_BYTES = 256 * 2**20
"""GDAL's default is 5 % of the memory for every process. In bytes: rasterio does not pass a small number on as MB."""

# Images without georeferencing are dealt with where scenes are planned. Silenced for good and not around each call:
# warnings.catch_warnings changes global state and files are opened in several threads.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def gdal_settings() -> rasterio.Env:
    """A context in which no side files appear and compression runs in the calling thread.

    A GDAL that compresses in threads of its own does not report a full disk.
    """
    return rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_NUM_THREADS="1", GDAL_CACHEMAX=BLOCK_CACHE_BYTES)
