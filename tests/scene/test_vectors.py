"""Vector files: each format is read for what it is, and none leads to another file or a server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import geopandas
import pytest
import shapely

from geofcs.errors import InputError
from geofcs.scene.vectors import read_shapes
from tests.remote.conftest import hurried, server
from tests.remote.server import FaultyServer
from tests.scene.outside import nobody_opens

__all__ = ["hurried", "server"]

SHAPES = [shapely.box(3, 45, 3.5, 45.25), shapely.box(3, 45, 4, 46) - shapely.box(3.25, 45.25, 3.5, 45.75)]
FEATURE = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(SHAPES[0]))}


def table(**columns: object) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"code": [7, 9], "other": ["a", "b"], **columns}, geometry=SHAPES, crs=4326)


def written(path: Path) -> Path:
    if path.suffix == ".parquet":
        table().to_parquet(path)
    else:
        table().to_file(path, driver="KML" if path.suffix == ".kml" else None)
    return path


@pytest.mark.parametrize("ending", ["gpkg", "shp", "fgb", "parquet", "geojson"])
def test_every_format_gives_the_same_geometries_columns_and_crs(ending: str, tmp_path: Path) -> None:
    found = read_shapes(str(written(tmp_path / f"a.{ending}")), ("code", "from_class"))
    order = sorted(range(2), key=lambda number: found.columns["code"][number])  # FlatGeobuf has an order of its own
    assert shapely.normalize(found.geometries[order]).tolist() == shapely.normalize(SHAPES).tolist()
    assert found.columns == {"code": [[7, 9][number] for number in order]}
    assert found.crs is not None and found.crs.equals("EPSG:4326", ignore_axis_order=True)


@pytest.mark.parametrize("ending", ["gpkg", "fgb", "parquet", "geojson", "kml"])
def test_a_file_is_read_for_its_content_whatever_its_name(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a.{ending}").rename(tmp_path / "a.zip!b.vrt")
    found = shapely.normalize(read_shapes(str(path)).geometries).tolist()
    assert sorted(found, key=shapely.area) == shapely.normalize(SHAPES).tolist()


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("ending", ["gpkg", "shp", "fgb", "parquet"])
def test_a_file_without_crs_has_none(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    plain = table().set_crs(None, allow_override=True)
    plain.to_parquet(path) if ending == "parquet" else plain.to_file(path)
    assert read_shapes(str(path)).crs is None


@pytest.mark.parametrize(
    "content", [FEATURE, FEATURE["geometry"], {"type": "FeatureCollection", "features": [FEATURE]}]
)
def test_geojson_may_be_a_collection_a_feature_or_a_geometry(content: object, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\ufeff \n" + json.dumps(content))
    assert read_shapes(str(tmp_path / "a")).geometries.tolist() == SHAPES[:1]


def test_what_has_no_geometry_is_left_out_with_its_columns(tmp_path: Path) -> None:
    empty = [shapely.Polygon(), None, *SHAPES]
    geopandas.GeoDataFrame({"code": [1, 2, 3, 4]}, geometry=empty, crs=4326).to_file(tmp_path / "a.gpkg")
    found = read_shapes(str(tmp_path / "a.gpkg"), ("code",))
    assert (found.geometries.tolist(), found.columns) == (SHAPES, {"code": [3, 4]})


def collection(**more: object) -> object:
    return {"type": "FeatureCollection", **more, "features": [FEATURE]}


def pipeline(command: str) -> object:
    return {"type": "gdal_streamed_alg", "command_line": f"gdal vector {command}"}


def crs(**properties: str) -> object:
    return collection(crs={"type": "link", "properties": properties})


def text(content: str | object) -> Callable[[Path, str, Path], Path]:
    """A file of this content, with URL and SECRET what they stand for."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        written = content if isinstance(content, str) else json.dumps(content)
        (folder / "area").write_text(written.replace("URL", url).replace("SECRET", str(secret)))
        return folder / "area"

    return make


def geopackage(*statements: str) -> Callable[[Path, str, Path], Path]:
    """A GeoPackage whose only layer is a table `v` made by SQL."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        path = written(folder / "area.gpkg")
        with closing(sqlite3.connect(path)) as base:
            base.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                base.execute(statement.replace("URL", url).replace("SECRET", str(secret)))
            base.execute("UPDATE gpkg_contents SET table_name = 'v'")
            base.execute("UPDATE gpkg_geometry_columns SET table_name = 'v'")
            base.commit()
        return path

    return make


def shapefile(suffix: str, content: str) -> Callable[[Path, str, Path], Path]:
    """A Shapefile of which one part has this content."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        path = written(folder / "area.shp")
        path.with_suffix(suffix).write_text(content.replace("URL", url).replace("SECRET", str(secret)))
        return path

    return make


XML = "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>URL</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
ENTITY = "<?xml version='1.0'?><!DOCTYPE k [<!ENTITY x SYSTEM 'SECRET'>]><kml>&x;</kml>"
NETWORK_LINK = "<kml><NetworkLink><Link><href>URL</href></Link></NetworkLink></kml>"
TABLE = "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING VirtualOGR(''{}'')')"
GRID = (
    'GEOGCS["x",DATUM["x",SPHEROID["x",6378388,297],EXTENSION["PROJ4_GRIDS","SECRET"]],PRIMEM["x",0],UNIT["x",0.0174]]'
)

NO_JSON = "JSON of the type .* is no GeoJSON"
NO_LINK = r"its CRS is no name such as urn:ogc:def:crs:EPSG::32631, and links are not followed"
NO_FLATGEOBUF = "its beginning is not that of a FlatGeobuf"
NO_MODULE = "no such module: VirtualOGR"
NOTHING = "it is none of GeoPackage, Shapefile, FlatGeobuf, GeoParquet, GeoJSON and KML; ogr2ogr converts others"

LEADING = {
    "pipeline to a server": (text(pipeline("pipeline ! read URL")), NO_JSON),
    "pipeline to GDAL's server": (text(pipeline("convert /vsicurl/URL --of stream x")), NO_JSON),
    "pipeline to a file": (text(pipeline("pipeline ! read SECRET")), NO_JSON),
    "pipeline in GeoJSON": (text(collection(x=pipeline("pipeline ! read URL"))), None),
    "CRS by link": (text(crs(href="URL")), NO_LINK),
    "CRS by URL": (text(crs(url="URL")), NO_LINK),
    "CRS by name": (text(crs(name="URL")), NO_LINK),
    "next page": (text(collection(links=[{"rel": "next", "href": "URL"}])), None),
    "STAC": (text(collection(stac_version="1.0.0", assets={"a": {"href": "URL"}})), None),
    "ESRI's JSON": (text({"geometryType": "esriGeometryPolygon", "features": []}), NO_JSON),
    "TopoJSON": (text({"type": "Topology", "objects": {}}), NO_JSON),
    "XML behind a brace": (text("{" + XML), "Expecting property name"),
    "XML behind KML": (text(f"<kml/>{XML}"), "junk after document element"),
    "XML in KML": (text(f"<kml>{XML}</kml>"), None),
    "link of KML": (text(NETWORK_LINK), None),
    "entity of KML": (text(ENTITY), "it defines entities, which no KML needs"),
    "XML behind FlatGeobuf": (text(f"fgb\3{XML}"), NO_FLATGEOBUF),
    "XML behind more of FlatGeobuf": (text(f"fgb\3fgb\1    {XML}"), NO_FLATGEOBUF),
    "XML behind GeoParquet": (text(f"PAR1{XML}"), "Parquet magic bytes not found"),
    "XML": (text(XML), NOTHING),
    "GDAL's table of a file": (geopackage(TABLE.format("SECRET")), NO_MODULE),
    "GDAL's table of a server": (geopackage(TABLE.format("URL")), NO_MODULE),
    "GDAL's function": (geopackage("CREATE VIEW v AS SELECT ogr_geocode('a') AS geom"), "no such function"),
    "grid of a CRS": (shapefile(".prj", GRID), r"its CRS names another file \(.*secret\), which is not opened"),
    "XML as attributes": (shapefile(".dbf", XML), None),
}
"""Files that lead elsewhere, and what is said of them; None where they are read without what leads."""


@pytest.mark.parametrize("name", LEADING)
def test_no_vector_file_leads_to_a_server_or_another_file(name: str, tmp_path: Path, server: FaultyServer) -> None:
    server.files["area.geojson"] = json.dumps(collection()).encode()
    (tmp_path / "secret").write_bytes(server.files["area.geojson"])
    make, message = LEADING[name]
    path = make(tmp_path, server.url("area.geojson"), tmp_path / "secret")
    refused = nullcontext() if message is None else pytest.raises(InputError, match=message)
    with nobody_opens(tmp_path / "secret"), refused:
        read_shapes(str(path))
    assert not server.requests


def test_a_pipeline_on_a_server_is_fetched_and_nothing_else(tmp_path: Path, server: FaultyServer) -> None:
    (tmp_path / "secret").write_text(json.dumps(collection()))
    server.files["area"] = json.dumps(pipeline(f"pipeline ! read {tmp_path / 'secret'}")).encode()
    with nobody_opens(tmp_path / "secret"), pytest.raises(InputError, match=f"/area: cannot be read as a.*{NO_JSON}"):
        read_shapes(server.url("area"))
    assert {request.split()[1] for request in server.requests} == {"/area"}


def test_what_watches_files_notices(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(AssertionError, match="was opened"), nobody_opens(tmp_path / "secret"):
        (tmp_path / "secret").read_text()
