"""From a change raster on disk to a file of polygons: features, attributes, summary, formats."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme, LandCover
from geofcs.grid import Grid
from geofcs.vector.features import SCHEMA, FeatureMaker
from geofcs.vector.polygonize import polygonize
from geofcs.vector.regions import Regions
from geofcs.vector.rings import Polygons
from geofcs.vector.write import write_features
from tests.vector.rasters import TEN_METRES, UTM, Codes, comparable, regions_at_once, write_raster

COLUMNS = [name for name in SCHEMA.names if name not in ("fid", "geom")]
TREE_TO_BUILDING = int(SECOND.encode(3, 5))


def scene(side: int = 150) -> Codes:
    """Patches of a few codes, no change and nodata."""
    random = np.random.default_rng(3)
    patches = random.choice(np.array([0, 0, 1, TREE_TO_BUILDING, 36, 255], np.uint8), (side // 3 + 1, side // 3 + 1))
    return np.kron(patches, np.ones((3, 3), np.uint8))[:side, :side]


def read(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path).rename_geometry("geometry")
    return geopandas.read_file(path, layer="changes")


def placed_at_once(codes: Codes, transform: Affine) -> list[tuple[int, bytes]]:
    to_crs = [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
    polygons = geopandas.GeoSeries([polygon for _, polygon in regions_at_once(codes)]).affine_transform(to_crs)
    return comparable([(code, polygon) for (code, _), polygon in zip(regions_at_once(codes), polygons, strict=True)])


def rotated() -> Affine:
    return Affine(9, 2, 500_000, 3, -8, 4_600_000)


@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 500_000, 0, -10, 4_600_000), rotated()], ids=["north-up", "rotated"]
)
def test_the_layer_holds_the_polygons_of_the_whole_raster_in_its_crs(tmp_path: Path, transform: Affine) -> None:
    codes = scene()
    change = write_raster(tmp_path / "change.tif", codes, transform=transform)
    counts = polygonize(change, tmp_path / "x.gpkg", block=64)
    layer = read(tmp_path / "x.gpkg")
    assert comparable(list(zip(layer.code, layer.geometry, strict=True))) == placed_at_once(codes, transform)
    assert layer.crs == pyproj.CRS.from_epsg(32631)
    assert layer.is_valid.all()
    assert len(layer) == counts.polygons
    assert list(layer.columns) == [*COLUMNS, "geometry"]


def test_features_are_ordered_by_their_first_pixel_however_the_raster_was_cut(tmp_path: Path) -> None:
    codes = scene()
    change = write_raster(tmp_path / "change.tif", codes)
    layers = []
    for block in (32, 64, 1024):
        polygonize(change, tmp_path / "x.gpkg", block=block)
        layers.append(pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="changes", fid_as_index=True))
    first = layers[0].index.to_numpy() - 1
    assert (np.diff(first) > 0).all()
    assert (codes.ravel()[first] == layers[0].code).all()
    for other in layers[1:]:
        assert other.geometry.normalize().equals(layers[0].geometry.normalize())
        np.testing.assert_allclose(other.area_m2, layers[0].area_m2, rtol=1e-9)
        assert other.drop(columns=["geometry", "area_m2"]).equals(layers[0].drop(columns=["geometry", "area_m2"]))


def test_threads_change_nothing(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", scene())
    for name, threads in (("one", 1), ("five", 5)):
        polygonize(change, tmp_path / f"{name}.gpkg", block=16, threads=threads)
    assert (tmp_path / "one.gpkg").read_bytes() == (tmp_path / "five.gpkg").read_bytes()


def test_attributes_say_what_became_what_and_how_sure_that_is(tmp_path: Path) -> None:
    codes = np.zeros((8, 9), np.uint8)
    codes[1:3, 1:4] = TREE_TO_BUILDING
    codes[5, 5] = SECOND.encode(4, 4)
    codes[7, 7] = 1
    percent = np.full((8, 9), 60, np.uint8)
    percent[1, 1], percent[2, 3], percent[7, 7] = 90, 255, 255
    change = write_raster(tmp_path / "change.tif", codes)
    probability = write_raster(tmp_path / "probability.tif", percent)
    polygonize(change, tmp_path / "x.gpkg", probability=probability, date_t1="2020-05-01", date_t2="2021-05-02")
    first, second, third = read(tmp_path / "x.gpkg").to_dict("records")
    assert (first["code"], first["from_class"], first["to_class"]) == (TREE_TO_BUILDING, "tree", "building")
    assert (first["pixels"], first["mean_probability"]) == (6, (90 + 4 * 60) / 5)
    assert (first["date_t1"], first["date_t2"]) == ("2020-05-01", "2021-05-02")
    assert (second["from_class"], second["to_class"], second["mean_probability"]) == ("water", "water", 60)
    assert np.isnan(third["mean_probability"])


@pytest.mark.parametrize(
    ("epsg", "transform"),
    [
        (32631, Affine(10, 0, 500_000, 0, -10, 4_600_000)),
        (3857, Affine(25, 0, 0, 0, -25, 9_000_000)),
        (4326, Affine(1e-3, 0, 10, 0, -1e-3, 70)),
        (4326, Affine(1e-3, 0, 179.9, 0, -1e-3, -20)),
    ],
)
def test_areas_are_geodesic(tmp_path: Path, epsg: int, transform: Affine) -> None:
    """Pixel for pixel: the edge of a pixel is not the geodesic between far corners of a region."""
    crs = CRS.from_epsg(epsg)
    change = write_raster(tmp_path / "change.tif", scene(), crs=crs, transform=transform)
    polygonize(change, tmp_path / "x.gpkg", block=50)
    layer = read(tmp_path / "x.gpkg")
    geod = pyproj.CRS.from_epsg(epsg).get_geod()
    assert geod is not None
    pixel_by_pixel = layer.geometry.segmentize(transform.a)
    in_degrees = pixel_by_pixel.to_crs(pyproj.CRS.from_epsg(epsg).geodetic_crs)
    for area, polygon in zip(layer.area_m2, in_degrees, strict=True):
        assert area == pytest.approx(abs(geod.geometry_area_perimeter(polygon.normalize())[0]), rel=1e-7)


def test_the_summary_counts_the_raster_and_agrees_with_the_polygons(tmp_path: Path) -> None:
    codes = scene()
    change = write_raster(tmp_path / "change.tif", codes)
    counts = polygonize(change, tmp_path / "x.gpkg", block=64)
    summary = pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="summary").set_index("code")
    assert list(summary.columns) == ["from_class", "to_class", "pixels", "hectares"]
    assert summary.pixels.to_dict() == dict(zip(*np.unique(codes, return_counts=True), strict=True))
    assert summary.pixels.to_dict() == counts.pixels_per_code
    assert summary.loc[TREE_TO_BUILDING, ["from_class", "to_class"]].tolist() == ["tree", "building"]
    assert summary.loc[[0, 255], ["from_class", "to_class"]].isna().all(axis=None)
    per_code = read(tmp_path / "x.gpkg").groupby("code").area_m2.sum() / 10_000
    np.testing.assert_allclose(summary.hectares[per_code.index], per_code, rtol=1e-9)
    assert summary.hectares.sum() == pytest.approx(codes.size / 100, rel=2e-3)


def test_the_least_area_leaves_out_polygons_and_not_the_summary(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", scene())
    everything = polygonize(change, tmp_path / "all.gpkg", block=64)
    some = polygonize(change, tmp_path / "some.gpkg", block=64, min_area=2000)
    layer = read(tmp_path / "all.gpkg")
    assert some.polygons == (layer.area_m2 >= 2000).sum() > 0
    assert some.polygons_below_min_area == (layer.area_m2 < 2000).sum() > 0
    assert some.pixels_per_code == everything.pixels_per_code
    one, other = (pyogrio.read_dataframe(tmp_path / f"{name}.gpkg", layer="summary") for name in ("all", "some"))
    assert one.equals(other)


@pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_every_format_holds_the_same_features(tmp_path: Path, ending: str) -> None:
    change = write_raster(tmp_path / "change.tif", scene())
    polygonize(change, tmp_path / "x.gpkg")
    polygonize(change, tmp_path / f"y{ending}", date_t1="2020-05-01")
    expected, layer = read(tmp_path / "x.gpkg"), read(tmp_path / f"y{ending}")
    assert layer.is_valid.all()
    assert list(layer.columns) == [*COLUMNS, "geometry"]
    assert (layer.date_t1 == "2020-05-01").all()
    if ending == ".geojson":
        assert layer.crs == pyproj.CRS.from_epsg(4326)
        assert layer.exterior.is_ccw.all()
        layer = layer.to_crs(expected.crs)
        layer.geometry = layer.geometry.set_precision(0.01)
    assert layer.crs == expected.crs
    if ending == ".fgb":  # ordered by its own index
        expected, layer = by_place(expected), by_place(layer)
    assert layer.geometry.normalize().equals(expected.geometry.normalize())
    for name in ("code", "area_m2", "pixels"):
        assert layer[name].tolist() == expected[name].tolist()


def by_place(layer: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    places = layer.geometry.normalize().to_wkb()
    return layer.iloc[places.argsort()].reset_index(drop=True)


def test_without_a_crs_areas_are_null(tmp_path: Path) -> None:
    codes = scene()
    change = write_raster(tmp_path / "change.tif", codes, crs=None, transform=Affine.identity())
    for ending in (".gpkg", ".fgb", ".parquet"):
        polygonize(change, tmp_path / f"x{ending}")
        layer = read(tmp_path / f"x{ending}")
        assert layer.crs is None
        assert layer.area_m2.isna().all()
        assert layer.pixels.sum() == np.count_nonzero((codes != 0) & (codes != 255))
    assert pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="summary").hectares.isna().all()


@pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".parquet", ".geojson"])
@pytest.mark.parametrize("code", [0, 255])
def test_a_raster_without_change_makes_an_empty_layer(tmp_path: Path, ending: str, code: int) -> None:
    change = write_raster(tmp_path / "change.tif", np.full((90, 70), code, np.uint8))
    out = tmp_path / f"x{ending}"
    assert polygonize(change, out).polygons == 0
    if ending == ".geojson":
        assert json.loads(out.read_text())["features"] == []
    else:
        layer = read(out)
        assert len(layer) == 0
        assert list(layer.columns) == [*COLUMNS, "geometry"]


@pytest.mark.parametrize(
    "scheme",
    [BINARY, LANDSAT, ClassScheme("many", tuple(LandCover(f"cover {i}", (i, i, i)) for i in range(20)))],
    ids=lambda scheme: str(scheme.name),
)
def test_the_scheme_of_the_tag_names_the_classes(tmp_path: Path, scheme: ClassScheme) -> None:
    last = scheme.transitions[-1]
    codes = np.array([[0, last.code, last.code], [scheme.nodata, 1, last.code]], scheme.code_dtype)
    change = write_raster(tmp_path / "change.tif", codes, scheme=scheme, nodata=scheme.nodata)
    polygonize(change, tmp_path / "x.gpkg")
    feature = read(tmp_path / "x.gpkg").iloc[0]
    assert feature.code == last.code
    if scheme.is_binary:
        assert feature[["from_class", "to_class"]].isna().all()
    else:
        names = [scheme.cover_name(last.from_id), scheme.cover_name(last.to_id)]
        assert feature[["from_class", "to_class"]].tolist() == names


def test_a_given_scheme_wins(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", np.full((3, 3), 2, np.uint8), scheme=SECOND)
    polygonize(change, tmp_path / "x.gpkg", scheme=LANDSAT)
    assert read(tmp_path / "x.gpkg").to_class.tolist() == ["desert"]


def test_progress_tells_of_every_pixel(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", scene(100))
    told: list[int] = []
    polygonize(change, tmp_path / "x.gpkg", block=32, progress=told.append)
    assert sum(told) == 100 * 100
    assert len(told) == 16


def test_the_same_raster_makes_the_same_bytes(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", scene())
    hashes = set()
    for name in ("a", "b"):
        polygonize(change, tmp_path / f"{name}.gpkg")
        hashes.add(hashlib.sha256((tmp_path / f"{name}.gpkg").read_bytes()).hexdigest())
    assert len(hashes) == 1
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_a_geopackage_is_sound_indexed_and_coloured(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", scene())
    polygonize(change, tmp_path / "x.gpkg")
    database = sqlite3.connect(tmp_path / "x.gpkg")
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        contents = database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall()
        assert contents == [("changes", "features"), ("summary", "attributes"), ("layer_styles", "attributes")]
        assert database.execute("SELECT count(*) FROM rtree_changes_geom").fetchone()[0] == len(
            read(tmp_path / "x.gpkg")
        )
        (style,) = database.execute("SELECT styleQML FROM layer_styles WHERE useAsDefault").fetchone()
    finally:
        database.close()
    qml = ET.fromstring(style)
    labels = {each.get("value"): each.get("label") for each in qml.iter("category")}
    assert labels[str(TREE_TO_BUILDING)] == "tree -> building"
    assert set(labels) == {"1", str(TREE_TO_BUILDING), "36"}
    symbol = {each.get("value"): each.get("symbol") for each in qml.iter("category")}[str(TREE_TO_BUILDING)]
    fill = next(each for each in qml.iter("symbol") if each.get("name") == symbol)
    colour = SECOND.transitions[TREE_TO_BUILDING - 1].colour
    assert fill.find(".//Option[@name='color']").get("value") == ",".join(map(str, (*colour, 255)))  # type: ignore[union-attr]


def test_whatever_classes_are_called_the_columns_are_the_same_and_ids_have_64_bits(tmp_path: Path) -> None:
    """Of a raster with more pixels than 32 bits count, and classes called like columns."""
    scheme = ClassScheme("fid", tuple(LandCover(name, (0, 0, 0)) for name in ("fid", "geom", "code", "ogc_fid")))
    grid = Grid(UTM, TEN_METRES, 100_000, 100_000)
    last = 100_000**2 - 1
    region = Regions(*(np.array([value]) for value in (scheme.encode(1, 2), last, last, 1, 100.0, 60, 1)))
    corners = np.array([[99_999, 99_999], [100_000, 99_999], [100_000, 100_000], [99_999, 100_000], [99_999, 99_999]])
    square = Polygons(corners, np.array([0, 5]), np.array([0, 1]), np.array([0]), np.array([1]))
    maker = FeatureMaker(grid, scheme, None, None)
    assert write_features(tmp_path / "x.gpkg", [maker.features(region, square)], dict, UTM, "2020-01-01T00:00:00.000Z")
    with sqlite3.connect(tmp_path / "x.gpkg") as database:
        columns = {name: kind for _, name, kind, *_ in database.execute("PRAGMA table_info(changes)")}
        (row,) = database.execute("SELECT fid, region, from_class, to_class FROM changes")
    assert columns == {
        "fid": "INTEGER", "geom": "POLYGON", "code": "MEDIUMINT", "from_class": "TEXT", "to_class": "TEXT",
        "area_m2": "REAL", "pixels": "INTEGER", "mean_probability": "REAL", "date_t1": "TEXT", "date_t2": "TEXT",
        "region": "INTEGER",
    }  # fmt: skip
    assert row == (last + 1, last + 1, "fid", "geom")
