"""Overviews: what GDAL would make, whole quads or not, and nothing left behind."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from geofcs.errors import VerificationError
from geofcs.overviews import INTERNAL_TILE, Halve, average, most_frequent
from geofcs.pyramid import InParallel, Place, Pyramid, Storage

NODATA = 255
STORAGE = Storage(level=1)
KINDS = pytest.mark.parametrize(("halve", "resampling"), [(most_frequent, "MODE"), (average, "AVERAGE")])


def blobs(height: int, width: int, seed: int = 3) -> np.ndarray:
    """Few values in blobs of three pixels, a quarter of them nodata: quads of every mixture."""
    coarse = np.random.default_rng(seed).choice([0, 1, 2, NODATA], (-(-height // 3), -(-width // 3))).astype(np.uint8)
    return np.kron(coarse, np.ones((3, 3), np.uint8))[:height, :width]


def one_by_one(function: Callable[[Place], None], places: Iterable[Place]) -> None:
    for each in places:
        function(each)


def fill(pyramid: Pyramid, pixels: np.ndarray) -> None:
    """Its cells come from the last to the first."""
    for rows, cols in reversed(pyramid.cells()):
        pyramid.add_cell(pixels[rows, cols], rows, cols)


def levels_of(
    folder: Path, pixels: np.ndarray, halve: Halve, storage: Storage = STORAGE, in_parallel: InParallel = one_by_one
) -> list[np.ndarray]:
    """All overviews of these pixels; the raster itself must be what it was."""
    with Pyramid(pixels.shape, pixels.dtype, NODATA, halve, storage, folder / "tiles.tmp") as pyramid:
        fill(pyramid, pixels)
        pyramid.add_overviews(in_parallel)
        shapes = [level.shape for level in pyramid.levels]
        whole, *levels = (pyramid._stored(level, *map(slice, (0, 0), shape)) for level, shape in enumerate(shapes))
    assert (whole == pixels).all()
    assert not list(folder.iterdir())
    return levels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_mixture_of_four_has_the_mode_and_the_mean_that_their_definition_gives(dtype: type) -> None:
    quads: np.ndarray = np.array(list(itertools.product([0, 3, 4, 100, NODATA], repeat=4)), dtype)
    pixels = quads.reshape(-1, 2, 2).transpose(1, 0, 2).reshape(2, -1)
    modes, means = most_frequent(pixels, NODATA)[0], average(pixels, NODATA)[0]
    assert modes.dtype == means.dtype == dtype
    for quad, mode, mean in zip(quads.tolist(), modes.tolist(), means.tolist(), strict=True):
        known = [value for value in quad if value != NODATA]
        assert Counter(known)[mode] == max(Counter(known).values(), default=0)
        assert mode in known or (mode == NODATA and not known)
        assert mean == (int(sum(known) / len(known) + 0.5) if known else NODATA)


@KINDS
def test_levels_of_a_raster_of_even_size_are_those_of_gdal(tmp_path: Path, halve: Halve, resampling: str) -> None:
    pixels = blobs(8 * INTERNAL_TILE, 6 * INTERNAL_TILE)
    levels = levels_of(tmp_path, pixels, halve)
    whole, cog = tmp_path / "whole.tif", tmp_path / "cog.tif"
    with rasterio.open(
        whole, "w", driver="GTiff", count=1, height=pixels.shape[0], width=pixels.shape[1], dtype=pixels.dtype,
        nodata=NODATA,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    rasterio.shutil.copy(whole, cog, driver="COG", blocksize=INTERNAL_TILE, overview_resampling=resampling)
    assert [level.shape for level in levels] == [(2048, 1536), (1024, 768), (512, 384)]
    for number, level in enumerate(levels):
        with rasterio.open(cog, overview_level=number) as file:
            assert (file.read(1) == level).all()


@KINDS
def test_pixels_at_the_rim_of_odd_sizes_stand_for_what_there_is(tmp_path: Path, halve: Halve, resampling: str) -> None:
    pixels = blobs(1027, 4603)
    framed = np.pad(pixels, ((0, 5), (0, 5)), constant_values=NODATA)
    levels = levels_of(tmp_path, pixels, halve)
    assert [level.shape for level in levels] == [(514, 2302), (257, 1151), (129, 576), (65, 288)]
    for level in levels[:2]:
        framed = halve(framed, NODATA)
        assert (framed[: level.shape[0], : level.shape[1]] == level).all(), resampling


def test_a_raster_that_fits_into_a_tile_has_none(tmp_path: Path) -> None:
    assert levels_of(tmp_path, blobs(INTERNAL_TILE, 3), most_frequent) == []


@KINDS
@pytest.mark.parametrize("storage", [Storage(1), Storage(6, differences=True)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_levels_depend_neither_on_how_tiles_are_stored_nor_on_threads(
    tmp_path: Path, dtype: type, storage: Storage, halve: Halve, resampling: str
) -> None:
    def shuffled(function: Callable[[Place], None], places: Iterable[Place]) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(function, reversed(list(places))))

    pixels: np.ndarray = blobs(1027, 4603).astype(dtype)
    expected = levels_of(tmp_path, pixels, halve)
    for one, other in zip(levels_of(tmp_path, pixels, halve, storage, shuffled), expected, strict=True):
        assert (one == other).all(), resampling


def test_a_tile_that_changed_since_is_noticed(tmp_path: Path) -> None:
    pixels = blobs(1027, 4603)
    with Pyramid(pixels.shape, pixels.dtype, NODATA, most_frequent, STORAGE, tmp_path / "tiles.tmp") as pyramid:
        fill(pyramid, pixels)
        second = pyramid.levels[2]
        for numbers in (second.offsets, second.sizes):
            numbers[0, 0] = numbers[0, 1]
        with pytest.raises(VerificationError, match=r"tiles\.tmp: is not what was written"):
            pyramid.add_overviews(one_by_one)
