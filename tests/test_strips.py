"""Strips: written whole or not at all, and known to be sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geofcs.errors import OutputError
from geofcs.strips import Strip, has_sound_strip, read_strip, strips_of, write_strip
from geofcs.tiles import Lattice

STRIP = Strip(row=3, first_col=0, stop_col=4, top=144, left=0, height=48, width=208)


def layers(dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 40, (2, STRIP.height, STRIP.width)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_strip_comes_back_as_it_was_written(tmp_path: Path, dtype: type) -> None:
    write_strip(tmp_path, STRIP, layers(dtype))
    assert (read_strip(tmp_path, STRIP) == layers(dtype)).all()
    assert has_sound_strip(tmp_path, STRIP, 2, np.dtype(dtype))
    assert [path.name for path in tmp_path.iterdir()] == [STRIP.name]


def test_every_truncation_of_a_strip_is_noticed(tmp_path: Path) -> None:
    write_strip(tmp_path, STRIP, layers())
    path = tmp_path / STRIP.name
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        assert not has_sound_strip(tmp_path, STRIP, 2, np.dtype(np.uint8)), length


def test_a_strip_of_another_shape_or_type_is_not_sound(tmp_path: Path) -> None:
    write_strip(tmp_path, STRIP, layers())
    assert not has_sound_strip(tmp_path, STRIP, 4, np.dtype(np.uint8))
    assert not has_sound_strip(tmp_path, STRIP, 2, np.dtype(np.uint16))


def test_a_folder_that_is_gone_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write_strip(tmp_path / "gone", STRIP, layers())


def test_strips_of_all_blocks_cover_the_grid_once() -> None:
    lattice = Lattice.over(300, 400, 64, 16)
    owners = np.zeros((300, 400), int)
    for block in lattice.blocks(3, 2):
        for strip in strips_of(lattice, block):
            owners[strip.top : strip.top + strip.height, strip.left : strip.left + strip.width] += 1
    assert (owners == 1).all()
