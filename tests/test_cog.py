"""Rows of tiles in a file: whatever is not as it was framed is noticed."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from geofcs.cog import FRAME, TileRow, framed
from geofcs.errors import VerificationError

TILES = [b"first tile", b"second", b"the third one"]
SIZES = [len(tile) for tile in TILES]
BEFORE = b"header"
OFFSETS = [len(BEFORE) + FRAME + sum(size + 2 * FRAME for size in SIZES[:number]) for number in range(3)]
ROW = TileRow(OFFSETS, SIZES, [zlib.crc32(tile) for tile in TILES])


def test_every_byte_of_a_row_is_looked_at(tmp_path: Path) -> None:
    whole, path = BEFORE + framed(map(memoryview, TILES)), tmp_path / "row"
    path.write_bytes(whole)
    ROW.check(path)
    for number in range(len(BEFORE), len(whole)):
        path.write_bytes(whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :])
        with pytest.raises(VerificationError, match="is not what was computed"):
            ROW.check(path)
        path.write_bytes(whole[:number])
        with pytest.raises(VerificationError, match="is not what was computed"):
            ROW.check(path)


def test_a_file_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"cannot be read back \(Is a directory\): give the same command again"):
        ROW.check(tmp_path)
