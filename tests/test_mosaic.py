"""Strips as one raster: sound wherever they are read, and decoded once."""

from __future__ import annotations

import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from geofcs import mosaic as mosaic_module
from geofcs.errors import VerificationError
from geofcs.mosaic import Mosaic
from geofcs.strips import Layers, Strip, read_strip, strips_of, write_strip
from geofcs.tiles import Lattice

LATTICE = Lattice.over(300, 400, 64, 16)
STRIPS = [strip for block in LATTICE.blocks(3, 2) for strip in strips_of(LATTICE, block)]
WHOLE = np.random.default_rng(4).integers(0, 200, (2, 300, 400)).astype(np.uint8)


@pytest.fixture
def mosaic(tmp_path: Path) -> Mosaic:
    for strip in STRIPS:
        part = WHOLE[:, strip.top : strip.top + strip.height, strip.left : strip.left + strip.width]
        write_strip(tmp_path, strip, part)
    return Mosaic(tmp_path, STRIPS)


@pytest.fixture
def times_read(monkeypatch: pytest.MonkeyPatch) -> Counter[Strip]:
    counted: Counter[Strip] = Counter()

    def read(folder: Path, strip: Strip) -> Layers:
        counted[strip] += 1
        return read_strip(folder, strip)

    monkeypatch.setattr(mosaic_module, "read_strip", read)
    return counted


WINDOWS = [
    (slice(top, min(top + 90, 300)), slice(left, min(left + 70, 400)))
    for top in range(0, 300, 90)
    for left in range(0, 400, 70)
]


def test_any_window_has_the_pixels_that_were_written(mosaic: Mosaic) -> None:
    for rows, cols in WINDOWS:
        for bands in ([1], [2, 1]):
            expected = WHOLE[[band - 1 for band in bands], rows, cols]
            assert (mosaic.read(bands, rows, cols, np.uint16) == expected).all()


def test_a_strip_is_read_once_however_many_threads_want_parts_of_it(mosaic: Mosaic, times_read: Counter[Strip]) -> None:
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda window: mosaic.read([1], window[0], window[1], np.uint8), WINDOWS)
        for (rows, cols), pixels in zip(WINDOWS, read, strict=True):
            assert (pixels[0] == WHOLE[0, rows, cols]).all()
    assert set(times_read) == set(STRIPS)
    assert set(times_read.values()) == {1}


def test_no_more_is_kept_than_there_may_be(
    mosaic: Mosaic, times_read: Counter[Strip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_module, "MOST_KEPT", 2 * 300 * 400 // 3)
    monkeypatch.setattr(mosaic_module, "FEWEST_KEPT", 1)
    for _ in range(2):
        for rows, cols in WINDOWS:
            assert (mosaic.read([1], rows, cols, np.uint8)[0] == WHOLE[0, rows, cols]).all()
    kept = [entry.bytes for entry in mosaic._recent._entries.values()]
    assert 0 < sum(kept) <= 2 * 300 * 400 // 3
    assert set(times_read.values()) - {1}, "what was forgotten is read again"


def test_as_many_are_kept_as_a_part_of_a_raster_meets_however_large_they_are(
    mosaic: Mosaic, times_read: Counter[Strip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mosaic_module, "MOST_KEPT", 1)
    few = mosaic_module.FEWEST_KEPT
    top, bottom = STRIPS[0].top, STRIPS[few - 1].top + STRIPS[few - 1].height
    for _ in range(3):
        mosaic.read([1], slice(top, bottom), slice(0, 1), np.uint8)
    assert times_read == Counter(STRIPS[:few])


def test_a_strip_of_another_shape_is_not_what_was_written(mosaic: Mosaic, tmp_path: Path) -> None:
    first = STRIPS[0]
    write_strip(tmp_path, first, WHOLE[:, : first.height - 1, : first.width])
    with pytest.raises(VerificationError, match=first.name):
        mosaic.read([1], slice(0, 4), slice(0, 4), np.uint8)


def test_a_copy_for_another_process_takes_no_pixels_along(mosaic: Mosaic) -> None:
    before = len(pickle.dumps(mosaic))
    mosaic.read([1], slice(0, 300), slice(0, 400), np.uint8)
    assert len(pickle.dumps(mosaic)) < 2 * before
    copy = pickle.loads(pickle.dumps(mosaic))  # noqa: S301  # our own
    assert (copy.read([1], slice(0, 300), slice(0, 400), np.uint8)[0] == WHOLE[0]).all()


# rasterio cannot decode messages of GDAL that quote damaged text, and says so beside ours.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_pixel_is_ever_other_than_what_was_written_whenever_a_file_changes(mosaic: Mosaic, tmp_path: Path) -> None:
    """Where a changed byte means nothing to the pixels they are as they were."""
    path, everything = tmp_path / STRIPS[0].name, (slice(0, 300), slice(0, 400))
    sound, noticed = path.read_bytes(), 0
    for number in range(0, len(sound), 7):
        path.write_bytes(sound[:number] + bytes([sound[number] ^ 1]) + sound[number + 1 :])
        try:
            assert (Mosaic(tmp_path, STRIPS).read([1, 2], *everything, np.uint8) == WHOLE).all()
        except VerificationError as error:
            noticed += 1
            assert STRIPS[0].name in str(error)
    assert noticed > len(sound) // 14
    path.write_bytes(sound)
    assert (mosaic.read([1, 2], *everything, np.uint8) == WHOLE).all()


def test_a_strip_that_cannot_be_read_is_told_to_all_who_want_it_and_can_be_read_once_it_is_mended(
    mosaic: Mosaic, tmp_path: Path
) -> None:
    path = tmp_path / STRIPS[0].name
    sound = path.read_bytes()
    path.write_bytes(sound[:-10])
    for _ in range(2):
        with pytest.raises(VerificationError, match=STRIPS[0].name):
            mosaic.read([1], slice(0, 40), slice(0, 40), np.uint8)
    path.write_bytes(sound)
    assert (mosaic.read([1], slice(0, 40), slice(0, 40), np.uint8)[0] == WHOLE[0, :40, :40]).all()
