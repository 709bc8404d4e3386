"""Vector files: each format is read for what it is, and none leads to another file or a server."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet
import pyogrio.raw
import pyproj
import pytest
import shapely

import geofcs.scene.geopackage
from geofcs.errors import InputError
from geofcs.scene.shapes import projected
from geofcs.scene.vectors import read_shapes
from tests.remote.conftest import hurried, server
from tests.remote.server import FaultyServer
from tests.scene.hostile_crs import HOSTILE
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


def linked(suffix: str) -> Callable[[Path, str, Path], Path]:
    """A Shapefile of which one part lies elsewhere."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        (folder / "in").mkdir()
        path = written(folder / "in" / "area.shp")
        path.with_suffix(suffix).unlink()
        path.with_suffix(suffix).symlink_to(secret)
        return path

    return make


def with_crs(ending: str, crs: str) -> Callable[[Path, str, Path], Path]:
    """A file whose CRS is this text."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        path, text = written(folder / f"area.{ending}"), crs.replace("SECRET", str(secret))
        if ending == "gpkg":
            with closing(sqlite3.connect(path)) as base:
                base.execute("UPDATE gpkg_spatial_ref_sys SET organization = 'x', definition = ?", (text,))
                base.commit()
        elif ending == "shp":
            path.with_suffix(".prj").write_text(text)
        elif ending == "fgb":
            table = pyogrio.raw.read(path)
            pyogrio.raw.write(path, table[2], table[3], table[0]["fields"], geometry_type="Polygon", crs=text)
        else:
            table = pyarrow.parquet.read_table(path)
            geo = json.loads(table.schema.metadata[b"geo"])
            geo["columns"]["geometry"]["crs"] = text
            pyarrow.parquet.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)}), path)
        return path

    return make


XML = "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>URL</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
ENTITY = "<?xml version='1.0'?><!DOCTYPE k [<!ENTITY x SYSTEM 'SECRET'>]><kml>&x;</kml>"
NETWORK_LINK = "<kml><NetworkLink><Link><href>URL</href></Link></NetworkLink></kml>"
ENDLESS = "WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k) SELECT zeroblob(100000) geom FROM k"
VIRTUAL = (
    "CREATE TRIGGER a AFTER UPDATE ON gpkg_geometry_columns BEGIN UPDATE gpkg_contents SET table_name = "
    "'pragma_database_list'; UPDATE gpkg_geometry_columns SET table_name = 'pragma_database_list'; END"
)
TABLE = "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING VirtualOGR(''{}'')')"
NO_JSON = "JSON of the type .* is no GeoJSON"
NO_LINK = r"its CRS is no name such as urn:ogc:def:crs:EPSG::32631, and links are not followed"
NO_FLATGEOBUF = "its beginning is not that of a FlatGeobuf"
NO_TABLE = "'v' is no table that it stores: ogr2ogr writes views out as such"
NO_COLUMN = "its table 'v' has no column 'geom' of geometries"
NO_GRID = r"its CRS names a file or an operation of PROJ's \(.+\), which are not followed: write it anew in one"
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
    "GDAL's table of a file": (geopackage(TABLE.format("SECRET")), NO_TABLE),
    "GDAL's table of a server": (geopackage(TABLE.format("URL")), NO_TABLE),
    "GDAL's function": (geopackage("CREATE VIEW v AS SELECT ogr_geocode('a') AS geom"), NO_TABLE),
    "endless view": (geopackage(f"CREATE VIEW v AS {ENDLESS}"), NO_TABLE),
    "table of a virtual one": (geopackage(VIRTUAL), "'pragma_database_list' is no table"),
    "computed column": (geopackage("CREATE TABLE v (a, geom AS (zeroblob(1000000000)))"), NO_COLUMN),
    "attributes elsewhere": (linked(".dbf"), r"area\.dbf is no file in its folder, but leads elsewhere"),
    "CRS elsewhere": (linked(".prj"), r"area\.prj is no file in its folder, but leads elsewhere"),
    "CRS in an old file": (shapefile(".prj", "Projection UTM"), "its CRS is neither well-known text nor a code such"),
    **{f"{name} in {ending}": (with_crs(ending, HOSTILE[name]), message) for ending in ("gpkg", "shp", "fgb", "parquet")
       for name, message in (("with spaces", None), ("quoted grid", NO_GRID), ("derived", NO_GRID))},
    **{f"{text} in GeoParquet": (with_crs("parquet", text), "its CRS is neither well-known text nor a code such as")
       for text in ("+init=SECRET:1", "+proj=tinshift +file=SECRET +type=crs")},
    "XML as attributes": (shapefile(".dbf", XML), None),
}  # fmt: skip
"""Files that lead elsewhere, and what is said of them; None where they are read without what leads."""


@pytest.mark.parametrize("name", LEADING)
def test_no_vector_file_leads_to_a_server_or_another_file(name: str, tmp_path: Path, server: FaultyServer) -> None:
    server.files["area.geojson"] = json.dumps(collection()).encode()
    (tmp_path / "secret").write_bytes(server.files["area.geojson"])
    make, message = LEADING[name]
    path = make(tmp_path, server.url("area.geojson"), tmp_path / "secret")
    refused = nullcontext() if message is None else pytest.raises(InputError, match=message)
    with nobody_opens(tmp_path / "secret"), refused:
        found = read_shapes(str(path))
        if found.crs is not None:
            pyproj.Transformer.from_crs(found.crs, "EPSG:32631", always_xy=True).transform(3, 45)
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


def test_a_column_that_is_the_index_is_read(tmp_path: Path) -> None:
    table().set_index("code").to_parquet(tmp_path / "a")
    assert read_shapes(str(tmp_path / "a"), ("code", "other")).columns == {"code": [7, 9], "other": ["a", "b"]}


@pytest.fixture
def open_in_wal(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A GeoPackage that another program has open, in a folder of its own."""
    (tmp_path / "in").mkdir()
    path = written(tmp_path / "in" / "a.gpkg")
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA journal_mode = WAL")
        yield path, base


def test_a_geopackage_is_read_without_a_trace_beside_it(open_in_wal: tuple[Path, sqlite3.Connection]) -> None:
    path, base = open_in_wal
    base.close()
    (path.parent / "a.gpkg-wal").symlink_to(path.parent / "nowhere")
    (path.parent / "a.gpkg-journal").write_bytes(bytes(512))
    before = sorted(path.parent.iterdir())
    assert read_shapes(str(path)).geometries.tolist() == SHAPES
    assert sorted(path.parent.iterdir()) == before


def test_a_geopackage_whose_changes_lie_beside_it_is_refused(open_in_wal: tuple[Path, sqlite3.Connection]) -> None:
    path, base = open_in_wal
    base.execute("UPDATE gpkg_contents SET identifier = 'x'")
    base.commit()
    with pytest.raises(InputError, match=r"/a\.gpkg: its latest changes lie in a\.gpkg-wal: close what has it open"):
        read_shapes(str(path))


def changed(column: str, value: object, where: str) -> Callable[[Path, str, Path], Path]:
    """A GeoPackage with something else in a column of its first layer."""

    def make(folder: Path, url: str, secret: Path) -> Path:
        path = written(folder / "area.gpkg")
        with closing(sqlite3.connect(path)) as base:
            for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                base.execute(f'DROP TRIGGER "{trigger}"')
            base.execute(f"UPDATE {where} SET {column} = ?", (value,))
            base.commit()
        return path

    return make


CIRCLE = struct.pack("<BIIBII10d", 1, 10, 1, 1, 8, 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
KML = (
    "<?xml version='1.0' encoding='{}'?><kml><Polygon><outerBoundaryIs><coordinates>{},0 1,2 2,2 3,0</coordinates>"
    "</outerBoundaryIs></Polygon></kml>"
)
MARS = collection(crs={"properties": {"name": "IAU_2015:49900"}})

DAMAGED = {
    "curves": (changed("geom", b"GP\0\1" + bytes(4) + CIRCLE, "area"),
               "it holds curves: ogr2ogr -nlt CONVERT_TO_LINEAR makes straight lines of them"),
    "column that is none": (changed("column_name", 5, "gpkg_geometry_columns"), "has no column '5' of geometries"),
    "code of no CRS": (changed("organization_coordsys_id", "4326 +a=1", "gpkg_spatial_ref_sys"), "its CRS is neither"),
    "encoding": (text(KML.format("zzz", 3)), "unknown encoding"),
    "infinity": (text(KML.format("utf-8", "1e400")), "some of its coordinates lie nowhere on the earth: mend"),
    "overflow": (text(KML.format("utf-8", "1e300")), "some of its coordinates lie nowhere on the earth: mend them"),
    "texts one after another": (text(f"{json.dumps(FEATURE)}\n{json.dumps(FEATURE)}\n"),
                                "it holds several texts, as GeoJSONSeq does: ogr2ogr -f GeoJSON makes one of them"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_wrong_with_a_file_is_told_in_a_line(name: str, tmp_path: Path) -> None:
    make, message = DAMAGED[name]
    with pytest.raises(InputError, match=message) as caught:
        read_shapes(str(make(tmp_path, "", tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["gpkg", "fgb", "parquet"])
def test_bytes_that_are_wrong_never_end_in_a_traceback(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a.{ending}")
    content, draw = path.read_bytes(), np.random.default_rng(0)
    for _ in range(15):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[draw.integers(12, len(content), 5)] = draw.integers(0, 256, 5)
        path.write_bytes(damaged.tobytes())
        with suppress(InputError):
            read_shapes(str(path), ("code",))


def test_a_table_larger_than_its_file_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path / "a.gpkg")
    monkeypatch.setattr(geofcs.scene.geopackage, "FEWEST_STEPS", -10 * path.stat().st_size + 1)
    with pytest.raises(InputError, match="interrupted"):
        read_shapes(str(path))
    with pytest.raises(ValueError, match="larger than the file"):
        list(geofcs.scene.geopackage._as_many_as_fit([(b"abc", 5)] * 4, 12))


def test_no_way_between_two_worlds_is_told(tmp_path: Path) -> None:
    found = read_shapes(str(text(MARS)(tmp_path, "", tmp_path)))
    assert found.crs is not None
    with pytest.raises(
        InputError, match=r"^area: no way leads from its CRS, Mars .*, to that of the scenes: write it an"
    ):
        projected(found.geometries, found.crs, pyproj.CRS.from_epsg(32631), "area")
