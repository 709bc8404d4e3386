"""Strips: the small checked GeoTIFFs that finished pixels are kept in until the rasters are put together."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError

from geofcs.durable import sync
from geofcs.errors import OutputError, VerificationError
from geofcs.gdal import gdal_settings
from geofcs.tiles import Block, Lattice

CHECKSUM_TAG = "GEOFCS_CRC32"
REMARK_TAG = "GEOFCS_REMARK"
Layers = npt.NDArray[Any]


@dataclass(frozen=True)
class Strip:
    """A unit of writing: what tile row `row` owns of the tile columns [first_col, stop_col), with its pixel window."""

    row: int
    first_col: int
    stop_col: int
    top: int
    left: int
    height: int
    width: int

    @property
    def name(self) -> str:
        """The file's name: by tile row and first tile column."""
        return f"{self.row:05d}-{self.first_col:05d}.tif"


def strips_of(lattice: Lattice, block: Block) -> list[Strip]:
    """The strips of a block from top to bottom."""
    left, right = lattice.cols.owned(block.first_col, block.stop_col)
    strips = []
    for row in range(block.first_row, block.stop_row):
        top, bottom = lattice.rows.owned(row, row + 1)
        strips.append(Strip(row, block.first_col, block.stop_col, top, left, bottom - top, right - left))
    return strips


def write_strip(folder: Path, strip: Strip, layers: Layers, remark: str = "") -> None:
    """Write `layers` (bands, h, w) as a strip; it appears under its name only complete and on disk.

    It remembers a remark on how its pixels came about, if there is one.
    Raises `OutputError` when it cannot be written.
    """
    temporary = folder / f"{strip.name}.{uuid.uuid4().hex}.tmp"
    bands, height, width = layers.shape
    try:
        with (
            gdal_settings(),
            rasterio.open(
                temporary, "w", driver="GTiff", count=bands, height=height, width=width, dtype=layers.dtype,
                compress="deflate", zlevel=1, interleave="band", blockysize=min(64, height), BIGTIFF="IF_SAFER",
            ) as file,
        ):  # fmt: skip
            file.write(layers)
            file.update_tags(**{CHECKSUM_TAG: _checksum(layers)}, **({REMARK_TAG: remark} if remark else {}))
        if not _is_sound(temporary, layers.shape, layers.dtype):
            raise OutputError(f"{temporary}: what was written cannot be read back; is the disk full or failing?")
        sync(temporary)
        temporary.replace(folder / strip.name)
    except (RasterioError, OSError) as error:
        raise OutputError(
            f"{temporary}: cannot write: {error}; free some space and give the same command again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_strip(folder: Path, strip: Strip) -> Layers:
    """All bands of a strip, (bands, h, w). Raises `VerificationError` if they are not what was written."""
    path = folder / strip.name
    try:
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            layers: Layers = file.read()
            is_sound = file.tags().get(CHECKSUM_TAG) == _checksum(layers)
    except RasterioError as error:
        raise VerificationError(f"{path}: cannot be read back ({error}): give the same command again") from error
    if not is_sound:
        raise VerificationError(f"{path}: is not what was written: give the same command again")
    return layers


def read_band(folder: Path, strip: Strip, band: int) -> npt.NDArray[Any]:
    """One band of a strip (1 is the first), (h, w)."""
    with gdal_settings(), rasterio.open(folder / strip.name, driver="GTiff") as file:
        return np.asarray(file.read(band))


def remark_of(folder: Path, strip: Strip) -> str:
    """The remark that a strip was written with."""
    with gdal_settings(), rasterio.open(folder / strip.name, driver="GTiff") as file:
        return str(file.tags().get(REMARK_TAG, ""))


def has_sound_strip(folder: Path, strip: Strip, bands: int, dtype: np.dtype[Any]) -> bool:
    """Whether the strip exists, has the right shape and type, and its pixels match their checksum."""
    path = folder / strip.name
    return path.exists() and _is_sound(path, (bands, strip.height, strip.width), dtype)


def _is_sound(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    try:
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            if (file.count, file.height, file.width) != shape or np.dtype(file.dtypes[0]) != dtype:
                return False
            return bool(file.tags().get(CHECKSUM_TAG) == _checksum(file.read()))
    except RasterioError:
        return False


def _checksum(layers: Layers) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(layers).data):08x}"
