"""Pixels compressed as internal tiles of a GeoTIFF, and decoded."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from geofcs.errors import VerificationError
from geofcs.gdal import gdal_settings
from geofcs.overviews import INTERNAL_TILE, Pixels
from geofcs.tiff import tiles_of

PREDICTOR = "2"
"""TIFF's number for differences of neighbours."""


@dataclass(frozen=True)
class Storage:
    """How tiles are compressed: deflate's level, and whether differences of neighbours are, instead of the pixels."""

    level: int
    differences: bool = False

    @property
    def of_cog(self) -> dict[str, int | str]:
        """The same as options of GDAL's COG driver."""
        differences = {"predictor": "STANDARD"} if self.differences else {}
        return {"compress": "deflate", "level": self.level, **differences}

    def encoded(self, pixels: Pixels) -> list[bytes]:
        """Pixels (h, w) as internal tiles, row by row, as GDAL encodes them.

        Raises `VerificationError` where GDAL does not decode them to what they were.
        """
        height, width = pixels.shape
        predictor = {"predictor": PREDICTOR} if self.differences else {}
        with gdal_settings(), MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=1, height=height, width=width, dtype=pixels.dtype, tiled=True,
                blockxsize=INTERNAL_TILE, blockysize=INTERNAL_TILE, compress="deflate", zlevel=self.level, **predictor,
            ) as file:  # fmt: skip
                file.write(pixels, 1)
            _check(memory, pixels)
            return tiles_of(memory.read())

    def decoded(self, tile: bytes, dtype: np.dtype[Any]) -> Pixels:
        """A whole internal tile."""
        stored = np.frombuffer(zlib.decompress(tile), dtype).reshape(INTERNAL_TILE, INTERNAL_TILE)
        return np.cumsum(stored, axis=1, dtype=dtype) if self.differences else stored


def _check(memory: MemoryFile, pixels: Pixels) -> None:
    try:
        with memory.open(driver="GTiff") as file:
            found = file.read(1)
    except RasterioError as error:
        raise VerificationError(f"tiles that were compressed cannot be decoded ({error})") from error
    if not np.array_equal(found, pixels):
        raise VerificationError("tiles were not compressed to what they are: memory may be failing")
