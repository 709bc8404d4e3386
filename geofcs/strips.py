"""Strips: the small checked GeoTIFFs that finished pixels are kept in until the rasters are put together."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from geofcs.durable import sync
from geofcs.errors import OutputError, VerificationError
from geofcs.gdal import gdal_settings, quick_compression
from geofcs.tiles import Block, Lattice

CHECKSUM_TAG = "GEOFCS_CRC32"
REMARK_TAG = "GEOFCS_REMARK"
BLOCK_WIDTH, BLOCK_HEIGHT = 256, 128
"""What of a strip is compressed at once, in pixels: what lies near is alike."""

DIFFERENCES = 2
"""TIFF's number for differences of neighbours: strips take a fifth less of disk, in a quarter more of a short time."""

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

    def within(self, rows: slice, cols: slice) -> tuple[slice, slice]:
        """Those of some rows and columns of the grid that it holds; perhaps none."""
        return _common(rows, self.top, self.height), _common(cols, self.left, self.width)


def _common(wanted: slice, first: int, length: int) -> slice:
    start = max(wanted.start, first)
    return slice(start, max(start, min(wanted.stop, first + length)))


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

    It remembers a remark on how its pixels came about, if there is one. The folder is not synced: a strip whose name is
    lost with the power is computed again. Raises `OutputError` when it cannot be written.
    """
    temporary = folder / f"{strip.name}.{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_bytes(_encoded(layers, remark))
        sync(temporary)
        temporary.replace(folder / strip.name)
    except OSError as error:
        raise OutputError(
            f"{folder / strip.name}: cannot write: {error.strerror or error}; free some space and give the same "
            "command again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _encoded(layers: Layers, remark: str) -> bytes:
    """A GeoTIFF with its checksums, made in memory: GDAL does not report every write that fails on a full disk."""
    bands, height, width = layers.shape
    with gdal_settings(), MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=bands, height=height, width=width, dtype=layers.dtype,
            interleave="band", tiled=True, blockxsize=min(BLOCK_WIDTH, _sixteens(width)),
            blockysize=min(BLOCK_HEIGHT, _sixteens(height)), predictor=DIFFERENCES, BIGTIFF="IF_SAFER",
            **quick_compression(),
        ) as file:  # fmt: skip
            file.write(layers)
            file.update_tags(**{CHECKSUM_TAG: " ".join(_checksums(layers, remark)), REMARK_TAG: remark})
        return bytes(memory.read())


def _sixteens(length: int) -> int:
    """The next multiple of 16, as sides of internal tiles must be."""
    return -(-length // 16) * 16


def remark_of(folder: Path, strip: Strip) -> str:
    """The remark that a strip was written with."""
    with gdal_settings(), rasterio.open(folder / strip.name, driver="GTiff") as file:
        return _remark_in(file.tags())


def has_sound_strip(folder: Path, strip: Strip, bands: int, dtype: np.dtype[Any]) -> bool:
    """Whether the strip exists, has the right shape and type, and its pixels match their checksum."""
    if not (folder / strip.name).exists():
        return False
    try:
        layers = read_strip(folder, strip)
    except VerificationError:
        return False
    return len(layers) == bands and layers.dtype == dtype


def read_strip(folder: Path, strip: Strip) -> Layers:
    """All its bands, (bands, h, w). Raises `VerificationError` if it cannot be read or is not what was written."""
    path = folder / strip.name
    try:
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            layers, tags = file.read(), file.tags()
    except RasterioError as error:
        raise VerificationError(f"{path}: cannot be read back ({error}): give the same command again") from error
    if layers.shape[1:] != (strip.height, strip.width) or not _is_what_was_written(layers, tags):
        raise VerificationError(f"{path}: is not what was written: give the same command again")
    return np.asarray(layers)


def _is_what_was_written(layers: Layers, tags: Mapping[str, str]) -> bool:
    return _checksums(layers, _remark_in(tags)) == tags.get(CHECKSUM_TAG, "").split()


def _checksums(layers: Layers, remark: str) -> list[str]:
    """Of each band, the remark included."""
    start = zlib.crc32(remark.encode())
    return [f"{zlib.crc32(np.ascontiguousarray(band).data, start):08x}" for band in layers]


def _remark_in(tags: Mapping[str, str]) -> str:
    return tags.get(REMARK_TAG, "")
