"""Where the tiles of a TIFF file lie: read from its directories, and written into them.

Sources: TIFF revision 6.0 (Adobe, 1992), sections 2 and 15; BigTIFF (libtiff, "BigTIFF Design"): the same with wider
numbers. Little-endian files alone, as GDAL writes them here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDTH, HEIGHT, OFFSETS, COUNTS = 256, 257, 324, 325
"""Tags: the image's size, the offset of each tile, and how many bytes each takes."""

FORMATS = {3: "H", 4: "I", 16: "Q"}
"""By the type of a tag, numbers as `struct` knows them."""


class Widths(NamedTuple):
    """What differs between the two kinds of file: formats of a directory's length, an entry's count and an offset."""

    first: int
    length: str
    offset: str

    @property
    def entry(self) -> int:
        """Bytes of an entry: tag, type, count, value."""
        return 4 + 2 * self.offset_size

    @property
    def offset_size(self) -> int:
        """Bytes of an offset, and of what an entry holds itself."""
        return struct.calcsize(self.offset)


WIDTHS = {b"II*\0": Widths(4, "H", "I"), b"II+\0": Widths(8, "Q", "Q")}
"""By how a file begins: TIFF, BigTIFF."""


@dataclass(frozen=True)
class Numbers:
    """Numbers that stand in a file from `position` on."""

    position: int
    count: int
    format: str

    def read(self, data: bytes) -> tuple[int, ...]:
        """The numbers."""
        return struct.unpack_from(f"<{self.count}{self.format}", data, self.position)

    def write(self, data: bytearray, numbers: Sequence[int]) -> None:
        """Put others in their place. Raises `struct.error` for too many, too few or too large ones."""
        struct.pack_into(f"<{self.count}{self.format}", data, self.position, *numbers)


@dataclass(frozen=True)
class Directory:
    """One image of a file: its size in pixels, and where its tiles' offsets and byte counts stand."""

    height: int
    width: int
    offsets: Numbers
    counts: Numbers


def directories(data: bytes) -> list[Directory]:
    """All images of a tiled file, in their order. Raises `KeyError` and `struct.error` for what is none."""
    widths = WIDTHS[bytes(data[:4])]
    found = []
    (position,) = struct.unpack_from(f"<{widths.offset}", data, widths.first)
    while position:
        (length,) = struct.unpack_from(f"<{widths.length}", data, position)
        first = position + struct.calcsize(widths.length)
        entries = dict(_entry(data, first + number * widths.entry, widths) for number in range(length))
        (height,), (width,) = entries[HEIGHT].read(data), entries[WIDTH].read(data)
        found.append(Directory(height, width, entries[OFFSETS], entries[COUNTS]))
        (position,) = struct.unpack_from(f"<{widths.offset}", data, first + length * widths.entry)
    return found


def _entry(data: bytes, position: int, widths: Widths) -> tuple[int, Numbers]:
    """A tag and the numbers that it stands for; of other types than numbers, bytes."""
    tag, kind, count = struct.unpack_from(f"<HH{widths.offset}", data, position)
    value, form = position + 4 + widths.offset_size, FORMATS.get(kind, "B")
    if count * struct.calcsize(form) > widths.offset_size:
        (value,) = struct.unpack_from(f"<{widths.offset}", data, value)
    return tag, Numbers(value, count, form)


def reach_of(data: bytes) -> int:
    """How many bytes of a file that begins so its offsets can tell apart: of a TIFF 4 GiB."""
    return 1 << 8 * WIDTHS[bytes(data[:4])].offset_size


def tiles_of(data: bytes) -> list[bytes]:
    """The tiles of a file's first image as they are stored, row by row."""
    first = directories(data)[0]
    places = zip(first.offsets.read(data), first.counts.read(data), strict=True)
    return [data[offset : offset + count] for offset, count in places]
