"""Overviews: what GDAL would make, whole quads or not, and nothing left behind."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.windows import Window

from geofcs.overviews import INTERNAL_TILE, Halve, average, checksum_of, most_frequent, overviews_of

NODATA = 255
KINDS = pytest.mark.parametrize(("halve", "resampling"), [(most_frequent, "MODE"), (average, "AVERAGE")])


def blobs(height: int, width: int, seed: int = 3) -> np.ndarray:
    """Few values in blobs of three pixels, a quarter of them nodata: quads of every mixture."""
    coarse = np.random.default_rng(seed).choice([0, 1, 2, NODATA], (-(-height // 3), -(-width // 3))).astype(np.uint8)
    return np.kron(coarse, np.ones((3, 3), np.uint8))[:height, :width]


def raster_of(path: Path, pixels: np.ndarray) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=pixels.shape[0], width=pixels.shape[1], dtype=pixels.dtype,
        nodata=NODATA,
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    return str(path)


def levels_of(folder: Path, pixels: np.ndarray, halve: Halve) -> list[np.ndarray]:
    with overviews_of(raster_of(folder / "whole.tif", pixels), folder / "out.tif", halve, NODATA) as levels:
        levels_read = []
        for level in levels:
            with rasterio.open(level.path) as file:
                assert checksum_of(file) == level.checksum
                levels_read.append(file.read(1))
    assert [path.name for path in folder.iterdir()] == ["whole.tif"]
    return levels_read


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
    cog = tmp_path / "cog.tif"
    rasterio.shutil.copy(
        tmp_path / "whole.tif", cog, driver="COG", blocksize=INTERNAL_TILE, overview_resampling=resampling
    )
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


def test_checksums_tell_a_single_pixel_and_levels_go_when_work_on_them_fails(tmp_path: Path) -> None:
    raster = raster_of(tmp_path / "whole.tif", blobs(700, 900))
    with pytest.raises(ZeroDivisionError), overviews_of(raster, tmp_path / "x.tif", average, NODATA) as (level,):
        with rasterio.open(level.path, "r+") as file:
            assert checksum_of(file) == level.checksum
            pixel = Window(449, 349, 1, 1)
            file.write(file.read(1, window=pixel) ^ 1, 1, window=pixel)
        with rasterio.open(level.path) as file:
            assert checksum_of(file) != level.checksum
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["whole.tif"]
