"""A raster with all its overviews as compressed tiles, which come in any order and from many threads, and then a file.

The file is what GDAL's COG driver would write of the same pixels, to the byte. That driver wants the whole raster
before it begins and reads it in one thread; here each part is compressed as soon as its pixels are there.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from io import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.cog import FRAME, TileRow, framed, not_as_computed, reading_back
from geofcs.errors import VerificationError
from geofcs.overviews import INTERNAL_TILE, Halve, Pixels, shapes_of, whole_quads
from geofcs.storage import Storage
from geofcs.tiff import directories, reach_of

DEPTH = 2
"""Levels below it that a cell is halved to at once."""

CELL = INTERNAL_TILE << DEPTH
"""Side of a cell in pixels: what one thread deals with at a time. Its smallest overview is one internal tile."""

Place = tuple[slice, slice]
"""Rows and columns of a raster."""


@dataclass(frozen=True)
class Cell:
    """A cell of a level, by its row and column among those of that level."""

    level: int
    row: int
    col: int


@dataclass(frozen=True)
class Level:
    """The raster or an overview: its size, and for each internal tile its place, how many bytes, and their CRC-32."""

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

    def cells(self) -> list[Cell]:
        """Those of the raster, and of the overviews that are halved further, from top to bottom.

        Each comes behind those that it is made of.
        """
        levels = (0, *range(DEPTH, len(self.levels) - 1, DEPTH))
        cells = [Cell(level, row, col) for level in levels for row, col in np.ndindex(self._count(level))]
        return sorted(cells, key=lambda cell: (min((cell.row + 1) * CELL << cell.level, self.shape[0]), cell.level))

    def made_of(self, cell: Cell) -> list[Cell]:
        """The cells that must be there before what they were halved to can be halved further; none of the raster's."""
        if cell.level == 0:
            return []
        above = cell.level - DEPTH
        rows, cols = (
            range(first << DEPTH, min((first + 1) << DEPTH, count))
            for first, count in zip((cell.row, cell.col), self._count(above), strict=True)
        )
        return [Cell(above, row, col) for row in rows for col in cols]

    def place(self, cell: Cell) -> Place:
        """Its rows and columns in its level."""
        height, width = self.levels[cell.level].shape
        return _run(cell.row, height), _run(cell.col, width)

    def _count(self, level: int) -> tuple[int, int]:
        """Cells of a level, downward and along."""
        height, width = self.levels[level].shape
        return -(-height // CELL), -(-width // CELL)

    def add_cell(self, cell: Cell, pixels: Pixels) -> None:
        """Store the pixels of a cell of the raster, and what they are halved to. Raises `OSError` on a full disk."""
        self._store(0, pixels, *self.place(cell))
        self._halve(cell, pixels)

    def add_overviews(self, cell: Cell) -> None:
        """Store what a cell of an overview is halved to, once all that it is made of is there.

        Raises `OSError` on a full disk and `VerificationError` where it does not give back what was stored.
        """
        self._halve(cell, self._stored(cell.level, *self.place(cell)))

    def _halve(self, cell: Cell, pixels: Pixels) -> None:
        """Store the overviews of a cell, down to one internal tile of it."""
        rows, cols = self.place(cell)
        for below in range(cell.level + 1, min(cell.level + DEPTH + 1, len(self.levels))):
            pixels = self.halve(whole_quads(pixels, self.nodata), self.nodata)
            rows, cols = (slice(each.start // 2, -(-each.stop // 2)) for each in (rows, cols))
            self._store(below, pixels, rows, cols)

    def _store(self, level: int, pixels: Pixels, rows: slice, cols: slice) -> None:
        try:
            tiles = self.storage.encoded(pixels)
        except VerificationError as error:
            raise VerificationError(f"{self.path}: {error}: give the same command again") from error
        start = self._append(b"".join(tiles))
        there = self.levels[level]
        at = [(rows.start // INTERNAL_TILE + row, cols.start // INTERNAL_TILE + col) for row, col, _ in _parts(pixels)]
        for place, tile in zip(at, tiles, strict=True):
            there.offsets[place], there.sizes[place], there.checksums[place] = start, len(tile), zlib.crc32(tile)
            start += len(tile)

    def _stored(self, level: int, rows: slice, cols: slice) -> Pixels:
        """Pixels that were stored."""
        there = self.levels[level]
        pixels = np.empty((rows.stop - rows.start, cols.stop - cols.start), self.dtype)
        for row, col, part in _parts(pixels):
            place = rows.start // INTERNAL_TILE + row, cols.start // INTERNAL_TILE + col
            tile = self._read(int(there.offsets[place]), int(there.sizes[place]))
            if zlib.crc32(tile) != there.checksums[place]:
                raise VerificationError(f"{self.path}: is not what was written: give the same command again")
            part[:] = self.storage.decoded(tile, self.dtype)[: part.shape[0], : part.shape[1]]
        return pixels

    def _append(self, data: bytes) -> int:
        """Write behind all else; returns where."""
        with self._one_at_a_time:
            start = self._file.seek(0, SEEK_END)
            self._file.write(data)
            return start

    def _read(self, start: int, size: int) -> bytes:
        with self._one_at_a_time:
            self._file.seek(start)
            return self._file.read(size)

    def fits(self, header: bytes) -> bool:
        """Whether the offsets in a header reach to the end of all tiles behind it."""
        tiles = sum(int(np.sum(level.sizes + 2 * FRAME)) for level in self.levels)
        return len(header) + tiles <= reach_of(header)

    def write(self, path: Path, header: bytes) -> dict[str, int | str]:
        """A file of `header`, which they fit and which lacks nothing but tiles, with these; returns size and SHA-256.

        The tiles of the smallest overview come first. Raises `OSError` on a full disk.
        """
        self._header, digest = self._with_places(header), hashlib.sha256()
        with path.open("wb") as file, ThreadPoolExecutor(1, "geofcs-hash") as aside:
            for part in self._parts_of_file():
                hashed = aside.submit(digest.update, part)
                file.write(part)
                hashed.result()
            return {"bytes": file.tell(), "sha256": digest.hexdigest()}

    def _parts_of_file(self) -> Iterator[bytes]:
        """The file in parts: its header, and then rows of internal tiles."""
        yield self._header
        for level in reversed(self.levels):
            for row in range(len(level.sizes)):
                yield framed(self._tiles(level.offsets[row].tolist(), level.sizes[row].tolist()))

    def _tiles(self, offsets: list[int], sizes: list[int]) -> Iterator[memoryview]:
        """Some tiles; those that lie one behind the other, as those of a row of a cell do, are read at once."""
        ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
        first = 0
        for stop in range(1, len(offsets) + 1):
            if stop == len(offsets) or offsets[stop] != ends[stop - 1]:
                run = memoryview(self._read(offsets[first], ends[stop - 1] - offsets[first]))
                for start, end in zip(offsets[first:stop], ends[first:stop], strict=True):
                    yield run[start - offsets[first] : end - offsets[first]]
                first = stop

    def rows(self) -> list[TileRow]:
        """All rows of internal tiles in the file that was written, where its header places them."""
        return [
            TileRow(offsets.tolist(), level.sizes[row].tolist(), level.checksums[row].tolist())
            for level, directory in zip(self.levels, directories(self._header), strict=True)
            for row, offsets in enumerate(np.reshape(directory.offsets.read(self._header), level.sizes.shape))
        ]

    def check_header(self, path: Path) -> None:
        """Raise `VerificationError` if the file that was written does not begin as it should."""
        with reading_back(path) as file:
            if file.read(len(self._header)) != self._header:
                raise not_as_computed(path)

    def _with_places(self, header: bytes) -> bytes:
        """The header with the offset and the size of each tile."""
        filled, end = bytearray(header), len(header)
        for level, directory in reversed(list(zip(self.levels, directories(header), strict=True))):
            assert (directory.height, directory.width) == level.shape, "the header is of this pyramid"
            sizes = level.sizes.ravel()
            ends = end + np.cumsum(sizes + 2 * FRAME)
            directory.offsets.write(filled, (ends - sizes - FRAME).tolist())
            directory.counts.write(filled, sizes.tolist())
            end = int(ends[-1])
        return bytes(filled)


def _run(number: int, length: int) -> slice:
    return slice(number * CELL, min((number + 1) * CELL, length))


def _parts(pixels: Pixels) -> list[tuple[int, int, Pixels]]:
    """Row, column and pixels of each internal tile, row by row."""
    height, width = (-(-length // INTERNAL_TILE) for length in pixels.shape)
    return [
        (row, col, pixels[row * INTERNAL_TILE :, col * INTERNAL_TILE :][:INTERNAL_TILE, :INTERNAL_TILE])
        for row in range(height)
        for col in range(width)
    ]
