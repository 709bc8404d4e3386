"""Strips: written whole or not at all, and known to be sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofcs import strips
from geofcs.errors import OutputError, VerificationError
from geofcs.strips import Strip, has_sound_strip, strips_of, write_strip
from geofcs.tiles import Lattice
from tests.stubs import strip_layers
from tests.vector.test_bad_input import files_of_at_most

STRIP = Strip(row=3, first_col=0, stop_col=4, top=144, left=0, height=48, width=208)


def layers(dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 40, (2, STRIP.height, STRIP.width)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_strip_comes_back_as_it_was_written(tmp_path: Path, dtype: type) -> None:
    write_strip(tmp_path, STRIP, layers(dtype))
    assert (strip_layers(tmp_path, STRIP, 2) == layers(dtype)).all()
    assert has_sound_strip(tmp_path, STRIP, 2, np.dtype(dtype))
    assert [path.name for path in tmp_path.iterdir()] == [STRIP.name]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strips_of_a_gdal_without_zstandard_are_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type
) -> None:
    monkeypatch.setattr(strips, "quick_compression", lambda: {"compress": "deflate", "zlevel": 1})
    write_strip(tmp_path, STRIP, layers(dtype))
    with rasterio.open(tmp_path / STRIP.name) as file:
        assert file.compression.name == "deflate"
    assert (strip_layers(tmp_path, STRIP, 2) == layers(dtype)).all()
    assert has_sound_strip(tmp_path, STRIP, 2, np.dtype(dtype))


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


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    with files_of_at_most(1000), pytest.raises(OutputError, match=r"00003-00000\.tif: cannot write: File too large"):
        write_strip(tmp_path, STRIP, layers())
    assert not list(tmp_path.iterdir())


# rasterio cannot decode messages of GDAL that quote damaged text, and says so beside ours.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_strip_that_changed_since_is_never_read_as_if_it_were_right(tmp_path: Path) -> None:
    write_strip(tmp_path, STRIP, layers())
    path, dice = tmp_path / STRIP.name, np.random.default_rng(2)
    content = path.read_bytes()
    noticed = 0
    for at in dice.integers(0, 8 * len(content), 100):
        path.write_bytes(content[: at // 8] + bytes([content[at // 8] ^ 1 << at % 8]) + content[at // 8 + 1 :])
        try:
            assert (strip_layers(tmp_path, STRIP, 2) == layers()).all()
        except VerificationError as error:
            noticed += 1
            assert STRIP.name in str(error)
    assert noticed > 50


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
