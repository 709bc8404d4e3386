"""Polygons made block by block are those of the whole raster at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.torture.faults import POLYGONS, tell
from tests.vector.rasters import NODATA, Codes, comparable, regions_at_once, regions_in_blocks

MOST_BLOCKS = 150
"""Blocks in one random raster: each costs a millisecond."""

small_rasters = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 1, 2, 3, NODATA])
)


@st.composite
def random_rasters(draw: st.DrawFn) -> tuple[Codes, int]:
    """A raster of 1 to 70 pixels a side with 1 to 4 codes in any shares, in patches or noise, and a side of blocks."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.array([0, NODATA, *range(1, draw(st.integers(1, 4)) + 1)], np.uint8)
    shares = random.dirichlet(np.full(len(values), draw(st.sampled_from([0.3, 1.0, 5.0]))))
    patch = draw(st.integers(1, 3))
    noise = random.choice(values, (height, width), p=shares)
    codes = np.kron(noise, np.ones((patch, patch), np.uint8))[:height, :width]
    fewest = int(np.ceil(np.sqrt(height * width / MOST_BLOCKS)))
    return codes, draw(st.integers(fewest, max(fewest, 32)))


def check(codes: Codes, side: int) -> None:
    found = regions_in_blocks(codes, side)
    assert comparable([(each.code, each.polygon) for each in found]) == comparable(regions_at_once(codes))
    for each in found:
        assert each.polygon.is_valid
        assert each.polygon.area == each.pixels == each.area_m2
        assert codes.flat[each.first] == each.code
    assert sum(each.pixels for each in found) == np.count_nonzero((codes != 0) & (codes != NODATA))
    assert len({each.first for each in found}) == len(found)


@settings(max_examples=100, deadline=None)
@given(small_rasters, st.integers(1, 5))
def test_small_rasters_of_any_kind(codes: Codes, side: int) -> None:
    check(codes, side)


@settings(max_examples=50, deadline=None)
@given(random_rasters())
def test_random_rasters(raster: tuple[Codes, int]) -> None:
    check(*raster)


def check_burning(codes: Codes, side: int) -> None:
    burnt = np.zeros_like(codes)
    shapes = [(each.polygon, each.code) for each in regions_in_blocks(codes, side)]
    if shapes:
        rasterio.features.rasterize(shapes, out=burnt)
    assert (burnt == np.where(codes == NODATA, 0, codes)).all()


@settings(max_examples=30, deadline=None)
@given(random_rasters())
def test_polygons_burnt_in_give_the_raster_back(raster: tuple[Codes, int]) -> None:
    check_burning(*raster)


@pytest.mark.long
@settings(max_examples=2500, deadline=None)
@given(random_rasters())
def test_many_random_rasters(raster: tuple[Codes, int]) -> None:
    """Equal to one call on the whole raster, valid, as large as their pixels, and burnt in they give the raster."""
    check(*raster)
    check_burning(*raster)
    tell(POLYGONS, {"of any size": 1})


@pytest.mark.long
@settings(max_examples=2500, deadline=None)
@given(small_rasters, st.integers(1, 5))
def test_many_small_rasters_of_any_kind(codes: Codes, side: int) -> None:
    check(codes, side)
    check_burning(codes, side)
    tell(POLYGONS, {"small": 1})


@settings(max_examples=30, deadline=None)
@given(random_rasters(), random_rasters())
def test_how_the_raster_is_cut_changes_no_region(raster: tuple[Codes, int], other: tuple[Codes, int]) -> None:
    codes, side = raster
    percent = np.resize(other[0], codes.shape)
    one, two = (
        sorted(regions_in_blocks(codes, each, percent), key=lambda region: region.first)
        for each in (side, max(codes.shape))
    )
    for piecewise, whole in zip(one, two, strict=True):
        assert piecewise.polygon.equals_exact(whole.polygon.normalize(), normalize=True)
        for name in ("code", "first", "pixels", "area_m2", "percent_sum", "percent_pixels"):
            assert getattr(piecewise, name) == getattr(whole, name)


def spiral(side: int) -> Codes:
    """One arm of code 1, a pixel wide, from the rim to the middle, between arms of code 2."""
    codes = np.full((side, side), 2, np.uint8)
    row, col, step = 0, 0, (0, 1)
    codes[0, 0] = 1
    for length in sorted([*range(2, side, 2), *range(2, side, 2), side - 1], reverse=True):
        for _ in range(length):
            row, col = row + step[0], col + step[1]
            codes[row, col] = 1
        step = step[1], -step[0]
    return codes


def comb(side: int) -> Codes:
    """Teeth of code 1 that hang together at the bottom only: above, no block knows that they are one."""
    codes = np.zeros((side, side), np.uint8)
    codes[:, ::2] = codes[-1] = 1
    return codes


def checkerboard(side: int) -> Codes:
    """Every pixel a region: all touch at corners."""
    return np.asarray(np.indices((side, side)).sum(0) % 2, np.uint8)


def sieve(side: int) -> Codes:
    """One region over everything, with holes that touch each other at corners."""
    codes = np.ones((side, side), np.uint8)
    codes[2::4, 2::4] = codes[3::4, 3::4] = 0
    return codes


def rings(side: int) -> Codes:
    """Rings of code 1 in rings of code 2: each region is a hole of the next."""
    distance = np.minimum(np.indices((side, side)), side - 1 - np.indices((side, side))).min(0)
    return np.asarray(1 + distance % 2, np.uint8)


def pinched(side: int) -> Codes:
    """A ring that is closed only across a diagonal, so that its hole touches its outline there."""
    codes = np.zeros((side, side), np.uint8)
    codes[1:-1, 1:-1] = 1
    codes[2:-2, 2:-2] = 0
    codes[-2, -2] = 0
    return codes


@pytest.mark.parametrize("side", [1, 2, 3, 7, 16, 50])
@pytest.mark.parametrize("draw", [spiral, comb, checkerboard, sieve, rings, pinched])
def test_figures_that_are_hard_to_follow(draw: Callable[[int], Codes], side: int) -> None:
    check(draw(20 if side == 1 else 41), side)


def test_figures_are_what_they_are_meant_to_be() -> None:
    assert len(regions_at_once(spiral(41))) == 2
    assert len(regions_at_once(comb(41))) == 1
    assert len(regions_at_once(checkerboard(4))) == 8
    ((_, giant),) = regions_at_once(sieve(41))
    assert len(giant.interiors) == 200
    ((_, ring),) = regions_at_once(pinched(20))
    assert len(ring.interiors) == 1
    assert shapely.get_num_coordinates(ring.intersection(ring.interiors[0])) > 0


def test_codes_of_two_bytes_keep_their_value() -> None:
    codes = np.array([[0, 300, 300], [65535, 300, 65025], [65025, 65025, 65025]], np.uint16)
    found = regions_in_blocks(codes, 2, nodata=65535)
    assert sorted((each.code, each.pixels) for each in found) == [(300, 3), (65025, 4)]


def test_regions_wider_than_two_bytes_count() -> None:
    codes = np.ones((3, 70_000), np.uint8)
    codes[1, 1::1000] = 0
    check(codes, 5000)


def test_the_least_area_counts_the_whole_region_and_not_its_pieces() -> None:
    codes = np.zeros((12, 12), np.uint8)
    codes[5, :] = 1
    codes[8, 8:10] = 2
    for side in (3, 12):
        assert [each.code for each in regions_in_blocks(codes, side, min_area=12)] == [1]
        assert [each.code for each in regions_in_blocks(codes, side, min_area=2)] == [1, 2]
        assert regions_in_blocks(codes, side, min_area=12.01) == []


def test_change_scores_are_summed_over_the_whole_region_where_they_are_known() -> None:
    codes = np.ones((5, 5), np.uint8)
    percent = np.arange(25, dtype=np.uint8).reshape(5, 5)
    percent[1, 1] = 255
    (region,) = regions_in_blocks(codes, 2, percent)
    assert (region.percent_sum, region.percent_pixels) == (sum(range(25)) - 6, 24)
