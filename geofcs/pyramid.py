"""A raster with all its overviews as compressed tiles, which come in any order and from many threads, and then a file.

The file is what GDAL's COG driver would write of the same pixels, to the byte. That driver wants the whole raster
before it begins and reads it in one thread; here each part is compressed as soon as its pixels are there.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from io import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.io import MemoryFile

from geofcs.errors import VerificationError
from geofcs.gdal import gdal_settings
from geofcs.overviews import INTERNAL_TILE, Halve, Pixels, shapes_of, whole_quads
from geofcs.tiff import directories, tiles_of

DEPTH = 2
"""Levels below it that a cell is halved to at once."""

CELL = INTERNAL_TILE << DEPTH
"""Side of a cell in pixels: what one thread deals with at a time. Its smallest overview is one internal tile."""

PREDICTOR = "2"
"""TIFF's number for differences of neighbours."""

Place = tuple[slice, slice]
"""Rows and columns of a raster."""

InParallel = Callable[[Callable[[Place], None], Iterable[Place]], None]
"""Calls a function with each of some places, in several threads perhaps, and comes back when all is done."""


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
        """Pixels (h, w) as internal tiles, row by row, as GDAL encodes them."""
        height, width = pixels.shape
        predictor = {"predictor": PREDICTOR} if self.differences else {}
        with gdal_settings(), MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=1, height=height, width=width, dtype=pixels.dtype, tiled=True,
                blockxsize=INTERNAL_TILE, blockysize=INTERNAL_TILE, compress="deflate", zlevel=self.level, **predictor,
            ) as file:  # fmt: skip
                file.write(pixels, 1)
            return tiles_of(memory.read())

    def decoded(self, tile: bytes, dtype: np.dtype[Any]) -> Pixels:
        """A whole internal tile."""
        stored = np.frombuffer(zlib.decompress(tile), dtype).reshape(INTERNAL_TILE, INTERNAL_TILE)
        return np.cumsum(stored, axis=1, dtype=dtype) if self.differences else stored


@dataclass(frozen=True)
class Level:
    """The raster or an overview: its size, and for each internal tile its place, bytes and the CRC-32 of its pixels."""

    shape: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32]

    @staticmethod
    def empty(shape: tuple[int, int]) -> Level:
        """Without tiles so far."""
        tiles = -(-shape[0] // INTERNAL_TILE), -(-shape[1] // INTERNAL_TILE)
        return Level(shape, np.zeros(tiles, np.int64), np.zeros(tiles, np.int64), np.zeros(tiles, np.uint32))


@dataclass
class Pyramid:
    """The tiles of a raster of `shape` and of its overviews, in a file of their own that is gone with the context."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    nodata: int
    halve: Halve
    storage: Storage
    path: Path
    levels: list[Level] = field(init=False)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.levels = [Level.empty(shape) for shape in shapes_of(*self.shape)]

    def __enter__(self) -> Pyramid:
        self._file = self.path.open("w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what a full disk has no room for
            self._file.close()
        self.path.unlink(missing_ok=True)

    def cells(self, level: int = 0) -> list[Place]:
        """Rows and columns of the cells of a level, row by row."""
        height, width = self.levels[level].shape
        return [(rows, cols) for rows in _runs(height) for cols in _runs(width)]

    def add_cell(self, pixels: Pixels, rows: slice, cols: slice) -> None:
        """Store the pixels of a cell of the raster, and what they are halved to. Raises `OSError` on a full disk."""
        self._store(0, pixels, rows, cols)
        self._halve(0, pixels, rows, cols)

    def add_overviews(self, in_parallel: InParallel) -> None:
        """Store the overviews that reach beyond a cell, once all cells are there.

        Raises `OSError` on a full disk and `VerificationError` where it does not give back what was stored.
        """
        for level in range(DEPTH, len(self.levels) - 1, DEPTH):

            def halve(place: Place, level: int = level) -> None:
                self._halve(level, self._stored(level, *place), *place)

            in_parallel(halve, self.cells(level))

    def _halve(self, level: int, pixels: Pixels, rows: slice, cols: slice) -> None:
        """Store the overviews of a cell, down to one internal tile of it."""
        for below in range(level + 1, min(level + DEPTH + 1, len(self.levels))):
            pixels = self.halve(whole_quads(pixels, self.nodata), self.nodata)
            rows, cols = (slice(each.start // 2, -(-each.stop // 2)) for each in (rows, cols))
            self._store(below, pixels, rows, cols)

    def _store(self, level: int, pixels: Pixels, rows: slice, cols: slice) -> None:
        tiles, parts = self.storage.encoded(pixels), _parts(pixels)
        start = self._append(b"".join(tiles))
        there = self.levels[level]
        at = [(rows.start // INTERNAL_TILE + row, cols.start // INTERNAL_TILE + col) for row, col, _ in parts]
        for place, tile, (_, _, part) in zip(at, tiles, parts, strict=True):
            there.offsets[place], there.sizes[place], there.checksums[place] = start, len(tile), checksum_of(part)
            start += len(tile)

    def _stored(self, level: int, rows: slice, cols: slice) -> Pixels:
        """Pixels that were stored."""
        pixels = np.empty((rows.stop - rows.start, cols.stop - cols.start), self.dtype)
        for row, col, part in _parts(pixels):
            place = rows.start // INTERNAL_TILE + row, cols.start // INTERNAL_TILE + col
            part[:] = self.storage.decoded(self._tile(level, place), self.dtype)[: part.shape[0], : part.shape[1]]
            if checksum_of(part) != self.levels[level].checksums[place]:
                raise VerificationError(f"{self.path}: is not what was written: give the same command again")
        return pixels

    def _append(self, data: bytes) -> int:
        """Write behind all else; returns where."""
        with self._one_at_a_time:
            start = self._file.seek(0, SEEK_END)
            self._file.write(data)
            return start

    def _tile(self, level: int, place: tuple[int, int]) -> bytes:
        there = self.levels[level]
        with self._one_at_a_time:
            self._file.seek(int(there.offsets[place]))
            return self._file.read(int(there.sizes[place]))

    def write(self, path: Path, header: bytes) -> None:
        """A file of `header`, which lacks nothing but tiles, with these: those of the smallest overview come first.

        Every tile is led by its size in four bytes and followed by its last four once more, as the COG driver has it.
        Raises `OSError` on a full disk.
        """
        with path.open("wb") as file:
            file.write(self._with_places(header))
            for number in reversed(range(len(self.levels))):
                for place in np.ndindex(self.levels[number].sizes.shape):
                    tile = self._tile(number, place)
                    file.write(len(tile).to_bytes(4, "little") + tile + tile[-4:])

    def _with_places(self, header: bytes) -> bytes:
        """The header with the offset and the size of each tile."""
        filled, end = bytearray(header), len(header)
        for level, directory in reversed(list(zip(self.levels, directories(header), strict=True))):
            sizes = level.sizes.ravel()
            ends = end + np.cumsum(sizes + 8)
            directory.offsets.write(filled, (ends - sizes - 4).tolist())
            directory.counts.write(filled, sizes.tolist())
            end = int(ends[-1])
        return bytes(filled)


def _runs(length: int) -> list[slice]:
    return [slice(first, min(first + CELL, length)) for first in range(0, length, CELL)]


def _parts(pixels: Pixels) -> list[tuple[int, int, Pixels]]:
    """Row, column and pixels of each internal tile, row by row."""
    height, width = (-(-length // INTERNAL_TILE) for length in pixels.shape)
    return [
        (row, col, pixels[row * INTERNAL_TILE :, col * INTERNAL_TILE :][:INTERNAL_TILE, :INTERNAL_TILE])
        for row in range(height)
        for col in range(width)
    ]


def checksum_of(pixels: Pixels) -> int:
    """The CRC-32 of pixels."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)
