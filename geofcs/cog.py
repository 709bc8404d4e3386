"""Rows of internal tiles as GDAL's COG driver frames them, and a look at whether a file holds them.

Source: GDAL, "Cloud Optimized GeoTIFF driver", section on the header's ghost area: each tile is led by its size, four
bytes, and its last four bytes are repeated behind it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from geofcs.errors import VerificationError

FRAME = 4
"""Bytes before and behind a tile."""

READ_BYTES = 1 << 22


def framed(tiles: Iterable[memoryview]) -> bytes:
    """Tiles one behind the other."""
    return b"".join(part for tile in tiles for part in (len(tile).to_bytes(FRAME, "little"), tile, tile[-FRAME:]))


@dataclass(frozen=True)
class TileRow:
    """A row of internal tiles in a file: where each begins, how many bytes it has, and their CRC-32."""

    offsets: Sequence[int]
    sizes: Sequence[int]
    checksums: Sequence[int]

    def check(self, path: Path) -> None:
        """Read it. Raises `VerificationError` if a file holds anything else there, or cannot be read."""
        with reading_back(path) as file:
            for offset, size, checksum in zip(self.offsets, self.sizes, self.checksums, strict=True):
                file.seek(offset - FRAME)
                data = file.read(size + 2 * FRAME)
                leader, tile, trailer = data[:FRAME], data[FRAME : FRAME + size], data[FRAME + size :]
                if zlib.crc32(tile) != checksum or trailer != tile[-FRAME:] or int.from_bytes(leader, "little") != size:
                    raise not_as_computed(path)


@contextmanager
def reading_back(path: Path) -> Iterator[BinaryIO]:
    """A file that was written. Raises `VerificationError` if it cannot be read."""
    try:
        with path.open("rb", buffering=READ_BYTES) as file:
            yield file
    except OSError as error:
        raise VerificationError(
            f"{path}: cannot be read back ({error.strerror or error}): give the same command again"
        ) from error


def not_as_computed(path: Path) -> VerificationError:
    """The error that a file causes which holds anything else."""
    return VerificationError(
        f"{path}: is not what was computed: the disk or memory may be failing; give the same command again"
    )
