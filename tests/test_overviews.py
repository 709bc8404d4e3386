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
from geofcs.pyramid import Cell, Pyramid
from geofcs.storage import Storage

NODATA = 255
STORAGE = Storage(level=1)
KINDS = pytest.mark.parametrize(("halve", "resampling"), [(most_frequent, "MODE"), (average, "AVERAGE")])


def blobs(height: int, width: int, seed: int = 3) -> np.ndarray:
    """Few values in blobs of three pixels, a quarter of them nodata: quads of every mixture."""
    coarse = np.random.default_rng(seed).choice([0, 1, 2, NODATA], (-(-height // 3), -(-width // 3))).astype(np.uint8)
    return np.kron(coarse, np.ones((3, 3), np.uint8))[:height, :width]


Run = Callable[[Callable[[Cell], None], Iterable[Cell]], None]
"""Calls a function with each of some cells."""


def one_by_one(function: Callable[[Cell], None], cells: Iterable[Cell]) -> None:
    for each in cells:
        function(each)


def fill(pyramid: Pyramid, pixels: np.ndarray, run: Run = one_by_one) -> None:
    """The cells of a level come from the last to the first."""

    def add(cell: Cell) -> None:
        if cell.level == 0:
            pyramid.add_cell(cell, pixels[pyramid.place(cell)])
        else:
            pyramid.add_overviews(cell)

    for level in sorted({cell.level for cell in pyramid.cells()}):
        run(add, [cell for cell in reversed(pyramid.cells()) if cell.level == level])


def levels_of(
    folder: Path, pixels: np.ndarray, halve: Halve, storage: Storage = STORAGE, run: Run = one_by_one
) -> list[np.ndarray]:
    """All overviews of these pixels; the raster itself must be what it was."""
    with Pyramid(pixels.shape, pixels.dtype, NODATA, halve, storage, folder / "tiles.tmp") as pyramid:
        fill(pyramid, pixels, run)
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
    def shuffled(function: Callable[[Cell], None], cells: Iterable[Cell]) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(function, reversed(list(cells))))

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
            pyramid.add_overviews(Cell(2, 0, 0))


@pytest.mark.parametrize("shape", [(1, 1), (2048, 2049), (9000, 300), (20_000, 33_000), (70_000, 9_000)])
def test_cells_come_behind_what_they_are_made_of_as_soon_as_that_is_there(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    pyramid = Pyramid(shape, np.dtype(np.uint8), NODATA, average, STORAGE, tmp_path / "tiles.tmp")
    cells = pyramid.cells()
    for number, cell in enumerate(cells):
        parts = pyramid.made_of(cell)
        assert set(parts) <= set(cells[:number])
        bottoms = [pyramid.place(each)[0].stop for each in cells[:number] if each.level == 0]
        if parts:
            assert max(bottoms) <= pyramid.place(cell)[0].stop << cell.level, "it waits for nothing below it"
    for level in {0, *range(2, len(pyramid.levels) - 1, 2)}:
        places = [pyramid.place(cell) for cell in cells if cell.level == level]
        area = sum((rows.stop - rows.start) * (cols.stop - cols.start) for rows, cols in places)
        assert area == np.prod(pyramid.levels[level].shape)
