"""The area of interest: it cuts the grid, and pixels whose centre lies outside are invalid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasterio.windows import Window

from geofcs.errors import InputError, UsageError
from geofcs.grid import Grid
from geofcs.scene.aoi import AoiReader
from tests.scene.rasters import ORIGIN, noise, plan, values, write

TRIANGLE = shapely.Polygon([(500_103, 4_999_897), (500_904, 4_999_701), (500_206, 4_999_304)])
ISLAND = shapely.box(500_998, 4_999_197, 501_051, 4_999_251)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("aoi") / "scene.tif", noise())


def vector(path: Path, *shapes: Any, crs: str = "EPSG:32631", to: str = "EPSG:32631") -> str:
    geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_crs(to).to_file(path)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "500100,4999500,500400,4999900",
        "500096,4999496,500404,4999904",
        " 500104, 4999504, 500396, 4999896 ",
        "500100,4999500,500400,4999900,EPSG:32631",
    ],
)
def test_bounds_leave_the_pixels_whose_centre_they_hold(text: str, scene: str) -> None:
    pair = plan(scene, scene, aoi=text)
    assert pair.grid.bounds == pytest.approx((500_100, 4_999_500, 500_400, 4_999_900))
    assert values(pair).valid.all()
    assert (values(pair).t1 == noise()[:, 10:50, 10:40]).all()


def test_bounds_in_degrees_are_understood(scene: str) -> None:
    pair = plan(scene, scene, aoi="3.002,45.147,3.01,45.151,EPSG:4326")
    expected = (500_157, 4_999_280, 500_786, 4_999_725)
    assert np.abs(np.subtract(pair.grid.bounds, expected)).max() <= 10
    assert values(pair).valid.mean() > 0.97


@pytest.mark.parametrize(("name", "to"), [("a.gpkg", "EPSG:32631"), ("a.geojson", "EPSG:4326"), ("a.shp", "EPSG:3035")])
def test_pixels_outside_the_polygons_of_a_file_are_invalid(name: str, to: str, scene: str, tmp_path: Path) -> None:
    pair = plan(scene, scene, aoi=vector(tmp_path / name, TRIANGLE, ISLAND, to=to))
    assert pair.grid.bounds == pytest.approx((500_100, 4_999_200, 501_050, 4_999_900))
    expected = geometry_mask([TRIANGLE, ISLAND], pair.grid.shape, pair.grid.transform, invert=True)
    assert (values(pair).valid == expected).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(1, 200), st.integers(1, 200), st.integers(0, 99))
def test_a_pixel_s_answer_depends_on_the_pixel_alone(top: int, left: int, height: int, width: int, seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(0, 500, (9, 2)).round(1)
    shape = shapely.make_valid(shapely.Polygon(corners))
    cols, rows = np.meshgrid(np.arange(left, left + width) + 0.5, np.arange(top, top + height) + 0.5)
    expected = shapely.contains_xy(shape, cols, rows)
    assert (AoiReader(shape).read(Window(left, top, width, height)) == expected).all()


def test_a_vector_without_crs_is_in_that_of_the_scenes(scene: str, tmp_path: Path) -> None:
    vector(tmp_path / "a.shp", TRIANGLE)
    (tmp_path / "a.prj").unlink()
    assert plan(scene, scene, aoi=str(tmp_path / "a.shp")).grid.shape == (60, 80)


def test_images_without_crs_are_cut_by_pixels(tmp_path: Path) -> None:
    image = write(tmp_path / "a.tif", noise(), None, None)
    pair = plan(image, image, assume_aligned=True, aoi="10,20,40,60")
    assert (values(pair).t1 == noise()[:, 20:60, 10:40]).all()
    with pytest.raises(InputError, match="has a CRS, but the scenes have none: give bounds in pixels"):
        plan(image, image, assume_aligned=True, aoi="3,45,4,46,EPSG:4326")


@pytest.mark.parametrize("text", ["600000,4999500,600400,4999900", "10,45,11,46,EPSG:4326"])
def test_an_area_outside_is_refused_with_both_extents(text: str, scene: str) -> None:
    with pytest.raises(
        InputError,
        match=r"--aoi .*: lies outside the overlap of the scenes: it covers \(.*\), they \(500000, 4999100, 501200, "
        r"5000000\) in EPSG:32631",
    ):
        plan(scene, scene, aoi=text)


def test_an_area_smaller_than_a_pixel_between_centres_is_refused(scene: str) -> None:
    with pytest.raises(InputError, match="outside"):
        plan(scene, scene, aoi="500101,4999501,500104,4999504")


@pytest.mark.parametrize("text", ["5,1,4,2", "1,5,2,4", "0,0,inf,1"])
def test_bounds_in_the_wrong_order_are_refused(text: str, scene: str) -> None:
    with pytest.raises(UsageError, match="XMIN,YMIN,XMAX,YMAX with XMIN below XMAX"):
        plan(scene, scene, aoi=text)


def test_bounds_in_a_crs_that_is_none_are_refused(scene: str) -> None:
    with pytest.raises(UsageError, match="'EPSG:99999' is no CRS"):
        plan(scene, scene, aoi="1,2,3,4,EPSG:99999")


def test_bounds_that_a_crs_cannot_describe_are_refused(scene: str) -> None:
    with pytest.raises(InputError, match="check its coordinates"):
        plan(scene, scene, aoi="500000,4999500,500400,4999900,EPSG:4326")


def test_a_file_that_is_missing_or_no_vector_is_refused(scene: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing of this kind")
    (tmp_path / "cut.geojson").write_text('{"type": "FeatureCollection", "features": [')
    for path in (tmp_path / "missing.gpkg", tmp_path / "notes.txt", tmp_path / "cut.geojson", tmp_path):
        with pytest.raises(InputError, match=r"--aoi .*: cannot be read as a vector file .*: give one with polygons"):
            plan(scene, scene, aoi=str(path))


def test_a_file_without_polygons_is_refused(scene: str, tmp_path: Path) -> None:
    points = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [3, 45]}}]}  # fmt: skip
    for name, content in (("points", points), ("empty", {"type": "FeatureCollection", "features": []})):
        (tmp_path / f"{name}.geojson").write_text(json.dumps(content))
        with pytest.raises(InputError, match="holds no polygons"):
            plan(scene, scene, aoi=str(tmp_path / f"{name}.geojson"))


def test_a_file_with_polygons_and_other_things_is_read_for_its_polygons(scene: str, tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(500_100, 4_999_800), (500_300, 4_999_600), (500_300, 4_999_800), (500_100, 4_999_600)])
    line = shapely.LineString([(500_000, 4_999_999), (501_100, 4_999_200)])
    pair = plan(scene, scene, aoi=vector(tmp_path / "a.gpkg", bow_tie, line))
    assert pair.grid.bounds == pytest.approx((500_100, 4_999_600, 500_300, 4_999_800))
    assert 0.4 < values(pair).valid.mean() < 0.55


def test_a_reader_of_an_area_agrees_with_a_grid(scene: str) -> None:
    grid = Grid(None, ORIGIN, 10, 10)
    assert AoiReader(shapely.box(-1, -1, 11, 11)).read(grid.window).all()
