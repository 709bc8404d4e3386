"""Where the internal tiles of a remote GeoTIFF lie: read by ourselves, byte for byte checked, to check GDAL's handles.

TIFF 6.0, sections 2 and 15, and BigTIFF: a header points to a directory of tags; two of them hold, or point to, the
first byte of every internal tile (or strip) of the first image.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.errors import SourceError

TILE_OFFSETS, STRIP_OFFSETS = 324, 273

NUMBER_TYPES = {3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""The types of tags in which offsets are stored."""

TILES_PER_CHUNK = 4096
"""So many offsets are fetched at once."""

CHUNKS_KEPT = 64

ReadBytes = Callable[[int, int], bytes]
"""`count` bytes from a first one on."""


@dataclass(frozen=True)
class TileIndex:
    """The offsets of the internal tiles, row by row, then by band where bands are stored apart."""

    read: ReadBytes
    number_type: str
    first: int
    inline: bytes
    rows: int
    cols: int
    height: int
    width: int
    by_band: bool
    chunks: OrderedDict[int, npt.NDArray[np.uint64]] = field(default_factory=OrderedDict)

    @staticmethod
    def of(dataset: DatasetReader, read: ReadBytes, path: str) -> TileIndex:
        """The index of a dataset whose file `read` reads; `SourceError` if it is not to be found."""
        height, width = dataset.block_shapes[0]
        try:
            number_type, first, inline = _offsets_tag(read)
        except (struct.error, KeyError, ValueError) as error:
            raise SourceError(
                f"{path}: its index of internal tiles cannot be understood ({error!r}): download it"
            ) from error
        return TileIndex(
            read, number_type, first, inline, -(-dataset.height // height), -(-dataset.width // width), height, width,
            by_band=dataset.count > 1 and dataset.profile.get("interleave") != "pixel",
        )  # fmt: skip

    def is_that_of(self, dataset: DatasetReader, bands: tuple[int, ...], window: Window) -> bool:
        """Whether a dataset that just read a window did so where the internal tiles lie."""
        (top, bottom), (left, right) = window.toranges()
        return all(
            _offset_in(dataset, row, col, band) == self._offset(row, col, band)
            for band in (bands if self.by_band else (1,))
            for row in range(top // self.height, (bottom - 1) // self.height + 1)
            for col in range(left // self.width, (right - 1) // self.width + 1)
        )

    def has_empty_tile(self, layer: npt.NDArray[np.generic], window: Window) -> bool:
        """Whether an internal tile of a layer (..., h, w) has nothing but zeros inside a window, in any band."""
        planes = (layer.reshape(-1, *layer.shape[-2:]) != 0).astype(np.uint8)
        rows, cols = _cuts(window.row_off, window.height, self.height), _cuts(window.col_off, window.width, self.width)
        return not np.maximum.reduceat(np.maximum.reduceat(planes, rows, axis=1), cols, axis=2).all()

    def _offset(self, row: int, col: int, band: int) -> int:
        """The first byte of an internal tile; 0 where there is none."""
        number = ((band - 1) * self.rows + row) * self.cols + col
        chunk, place = divmod(number, TILES_PER_CHUNK)
        if chunk not in self.chunks:
            self.chunks[chunk] = self._chunk(chunk)
            if len(self.chunks) > CHUNKS_KEPT:
                self.chunks.popitem(last=False)
        return int(self.chunks[chunk][place])

    def _chunk(self, chunk: int) -> npt.NDArray[np.uint64]:
        size = np.dtype(self.number_type).itemsize
        skip, count = chunk * TILES_PER_CHUNK * size, TILES_PER_CHUNK * size
        content = self.inline[skip : skip + count] if self.inline else self.read(self.first + skip, count)
        return np.frombuffer(content[: len(content) // size * size], self.number_type).astype(np.uint64)


def _offsets_tag(read: ReadBytes) -> tuple[str, int, bytes]:
    """The number type of the offsets, where they begin, and the offsets themselves where there is room in the tag."""
    header = read(0, 16)
    order = {b"II": "<", b"MM": ">"}[header[:2]]
    big = struct.unpack(order + "H", header[2:4])[0] == 43
    word, room = ("Q", 8) if big else ("I", 4)
    directory = struct.unpack(order + word, header[8:16] if big else header[4:8])[0]
    count_bytes = 8 if big else 2
    count = struct.unpack(order + ("Q" if big else "H"), read(directory, count_bytes))[0]
    entry = struct.Struct(f"{order}HH{word}{room}s")
    entries = read(directory + count_bytes, min(count, 4096) * entry.size)
    tags = {tag: rest for tag, *rest in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size])}
    kind, length, value = tags[TILE_OFFSETS] if TILE_OFFSETS in tags else tags[STRIP_OFFSETS]
    number_type = order + NUMBER_TYPES[kind]
    size = np.dtype(number_type).itemsize * length
    return number_type, struct.unpack(order + word, value)[0], value[:size] if size <= room else b""


def _offset_in(dataset: DatasetReader, row: int, col: int, band: int) -> int:
    """Where a dataset thinks that an internal tile lies; 0 if nowhere. Known after reading it: nothing is fetched."""
    return int(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) or 0)


def _cuts(start: float, length: float, step: int) -> list[int]:
    """Where in a window the internal tiles along an axis begin."""
    first = int(start) // step * step
    return [max(0, at - int(start)) for at in range(first, int(start + length), step)]
