"""The grid: crops, coinciding pixels, positions in other grids."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.windows import Window

from geofcs.errors import InputError
from geofcs.grid import Grid, PixelMap, same_crs

UTM31 = CRS.from_epsg(32631)
GRID = Grid(UTM31, Affine(10, 0, 500_000, 0, -10, 5_000_000), 80, 100)


def test_a_crop_keeps_every_pixel_where_it_was() -> None:
    crop = GRID.crop(Window(7, 5, 20, 10))
    assert crop.shape == (10, 20)
    assert crop.bounds == pytest.approx((500_070, 4_999_850, 500_270, 4_999_950))
    assert crop.offset_in(GRID) == (5, 7)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (-1, 5)])
def test_a_grid_without_pixels_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="empty"):
        Grid(UTM31, GRID.transform, *shape)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 500_000.02, 0, -10, 5_000_000),
        Affine(10.001, 0, 500_000, 0, -10, 5_000_000),
        Affine(10, 0.001, 500_000, 0, -10, 5_000_000),
        Affine(10, 0, 500_000, 0, 10, 5_000_000),
    ],
)
def test_pixels_that_lie_apart_anywhere_do_not_coincide(transform: Affine) -> None:
    assert Grid(UTM31, transform, 80, 100).offset_in(GRID) is None


def test_differences_far_below_a_pixel_do_not_count() -> None:
    assert Grid(UTM31, Affine(10, 0, 500_030.0001, 0, -10, 4_999_980), 80, 100).offset_in(GRID) == (2, 3)


def test_pixels_in_another_crs_never_coincide() -> None:
    assert Grid(CRS.from_epsg(32632), GRID.transform, 80, 100).offset_in(GRID) is None


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("EPSG:4326", "OGC:CRS84", True),
        ("EPSG:32631", "EPSG:32631+5773", True),
        ("EPSG:32631", "+proj=utm +zone=31 +datum=WGS84 +units=m +no_defs", True),
        ("EPSG:32631", "EPSG:32632", False),
        ("EPSG:4326", "EPSG:4258", False),
    ],
)
def test_crss_are_compared_by_meaning(name: str, other: str, same: bool) -> None:
    a, b = CRS.from_user_input(name), CRS.from_user_input(other)
    assert same_crs(a, b) == same_crs(b, a) == same
    assert same_crs(a, CRS.from_wkt(a.to_wkt(version="WKT1_GDAL" if "+" not in name else "WKT2")))
    assert not same_crs(a, None)


def test_a_north_up_grid_stays_as_it_is() -> None:
    assert GRID.north_up() is GRID


def test_a_south_up_grid_is_turned_over() -> None:
    assert Grid(UTM31, Affine(10, 0, 500_000, 0, 10, 4_999_200), 80, 100).north_up() == GRID


def test_a_grid_rotated_by_a_right_angle_keeps_its_pixels() -> None:
    turned = Grid(UTM31, Affine(0, 20, 500_000, -10, 0, 5_000_000), 50, 80)
    assert turned.north_up() == Grid(UTM31, Affine(20, 0, 500_000, 0, -10, 5_000_000), 80, 50)


@given(st.floats(-180, 180))
def test_a_rotated_grid_lies_inside_its_north_up_one(angle: float) -> None:
    turned = Affine(*(Affine.translation(500_000, 5_000_000) @ Affine.rotation(angle) @ Affine.scale(10, -10))[:6])
    grid = Grid(UTM31, turned, 80, 100)
    around = grid.north_up()
    assert around.is_north_up
    assert around.transform.a == pytest.approx(10)
    assert around.bounds[0] <= grid.bounds[0] + 0.01 and around.bounds[1] <= grid.bounds[1] + 0.01
    assert around.bounds[2] >= grid.bounds[2] - 0.01 and around.bounds[3] >= grid.bounds[3] - 0.01


@pytest.mark.parametrize("code", [32631, 32630, 4326, 3857, 3035])
def test_positions_come_back_from_another_grid(code: int) -> None:
    other = Grid(CRS.from_epsg(code), Affine(0.5, 0.1, 7, 0.2, -0.7, 9), 10, 10)
    cols, rows = np.meshgrid(np.linspace(0, 100, 7), np.linspace(0, 80, 5))
    back = PixelMap(other, GRID)(*PixelMap(GRID, other)(cols, rows))
    np.testing.assert_allclose(back, (cols, rows), atol=1e-4)


def test_a_position_that_a_projection_does_not_know_is_not_finite_and_spoils_no_other() -> None:
    world = Grid(CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 95), 190, 360)
    cols, rows = PixelMap(world, GRID)([183, 183], [1, 50])
    assert np.isfinite(cols).tolist() == np.isfinite(rows).tolist() == [False, True]


def test_steps_are_how_many_pixels_of_the_other_grid_one_reaches_over() -> None:
    finer = Grid(UTM31, Affine(2, 0, 0, 0, -5, 0), 10, 10)
    np.testing.assert_allclose(PixelMap(GRID, finer).steps(3, 4), [[5, 0], [0, 2]], atol=1e-9)
