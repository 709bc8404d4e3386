"""Areas are those on the ellipsoid, whatever the CRS."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from geofcs.grid import Grid
from geofcs.vector.areas import PixelAreas
from tests.vector.rasters import TEN_METRES, UTM

GRIDS = {
    "utm": Grid(UTM, TEN_METRES, 16_384, 16_384),
    "web mercator": Grid(CRS.from_epsg(3857), Affine(10, 0, 500_000, 0, -10, 8_600_000), 5000, 5000),
    "web mercator, coarse": Grid(CRS.from_epsg(3857), Affine(20_000, 0, 0, 0, -20_000, 8_600_000), 50, 50),
    "degrees over the antimeridian": Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 179.9, 0, -1e-4, 60), 3000, 3000),
    "degrees, rotated": Grid(CRS.from_epsg(4326), Affine(1e-4, 1e-5, 5, 1e-5, -1e-4, 60), 300, 300),
    "utm over the antimeridian": Grid(CRS.from_epsg(32660), Affine(10, 0, 600_000, 0, -10, 4_600_000), 300, 30_000),
    "over the pole": Grid(CRS.from_epsg(3413), Affine(100, 0, -3020, 0, -100, 2010), 60, 60),
    "feet": Grid(CRS.from_epsg(2263), Affine(3, 0, 980_000, 0, -3, 200_000), 500, 700),
    "south-up": Grid(UTM, Affine(10, 0, 500_000, 0, 10, 4_600_000), 400, 300),
    "ten centimetres": Grid(CRS.from_epsg(27700), Affine(0.1, 0, 400_000, 0, -0.1, 300_000), 200, 200),
    "one pixel": Grid(UTM, TEN_METRES, 1, 1),
    "a row": Grid(UTM, TEN_METRES, 1, 9),
}


def geodesic_area(grid: Grid, row: int, col: int) -> float:
    """A pixel's area by pyproj, its edges being geodesics."""
    crs = pyproj.CRS.from_user_input(grid.crs)
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    at, cols, rows = grid.transform, col + np.array([0, 1, 1, 0]), row + np.array([0, 0, 1, 1])
    corners = to_degrees.transform(at.a * cols + at.b * rows + at.c, at.d * cols + at.e * rows + at.f)
    geod = crs.get_geod()
    assert geod is not None
    return abs(float(geod.polygon_area_perimeter(*corners)[0]))


@pytest.mark.parametrize("name", GRIDS)
def test_a_pixel_has_its_geodesic_area(name: str) -> None:
    grid = GRIDS[name]
    areas = PixelAreas.of(grid)
    random = np.random.default_rng(1)
    places = [*random.integers(0, grid.shape, (30, 2)).tolist(), [0, 0], [grid.height - 1, grid.width - 1]]
    for row, col in places:
        (area,) = areas.at(np.array([row]), np.array([col + 0.5]))
        assert area == pytest.approx(geodesic_area(grid, row, col), rel=2e-6)  # pyproj near the pole


def test_images_without_crs_have_no_areas() -> None:
    areas = PixelAreas.of(Grid(None, Affine.identity(), 40, 30))
    assert not areas.are_known
    assert np.isnan(areas.at(np.arange(40), np.full(40, 0.5))).all()


def test_a_crs_without_an_earth_has_no_areas() -> None:
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert not PixelAreas.of(Grid(local, TEN_METRES, 40, 30)).are_known
