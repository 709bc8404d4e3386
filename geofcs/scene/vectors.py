"""Polygons in files: which formats are read, each by one reader that opens no other file, whatever the content says.

GDAL chooses among dozens of drivers by content, and some of them follow what a file says to other files, servers and
programs of GDAL's; which ones it tries cannot be limited from here. Text and databases are therefore read without it.
What it does read, it sees under a name of ours and in a folder of ours, and a zero byte near the beginning keeps every
driver that looks for a word in the text from finding one.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyproj
import shapely

from geofcs.errors import InputError
from geofcs.remote import fetched, parse_address
from geofcs.scene.crs_files import checked_crs
from geofcs.scene.flatgeobuf import MOST_HEADER_BYTES, check_header
from geofcs.scene.geojson import read_geojson
from geofcs.scene.geopackage import read_geopackage
from geofcs.scene.kml import read_kml
from geofcs.scene.shapes import Shapes

SHAPEFILE_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")

MOST_COORDINATE = 1e12
"""25 times around the earth in millimetres; GEOS fails over lengths that are no numbers."""

FAILURES = (
    OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError, RecursionError, NotImplementedError,
    struct.error, sqlite3.Error, ET.ParseError, pyproj.exceptions.ProjError, shapely.errors.ShapelyError,
)  # fmt: skip
"""What readers raise over files that are damaged or hold something else.

So many kinds, for the libraries below look up and take apart what a file says before they ask what it is.
"""


def read_shapes(text: str, wanted: Sequence[str] = ()) -> Shapes:
    """The geometries of a vector file, fetched if it is remote, with those of the `wanted` columns that it has.

    Geometries that are missing or empty are left out. Raises `InputError` if it is none of GeoPackage, Shapefile,
    FlatGeobuf, GeoParquet, GeoJSON and KML, by its content and whatever its name, or is damaged.
    """
    address = parse_address(text)
    with TemporaryDirectory(prefix="geofcs-") as name:
        folder = Path(name)
        path = Path(address.rest) if address.is_local else fetched(address, folder)
        try:
            with path.open("rb") as file:
                reader = _reader_of(file.read(1024))
            shapes = reader(path, wanted)
        except FAILURES as error:
            said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
            raise InputError(
                f"{address.shown}: cannot be read as a vector file ({' '.join(said.split())}): give one with polygons"
            ) from error
        if not (np.abs(shapely.get_coordinates(shapes.geometries)) < MOST_COORDINATE).all():
            raise InputError(f"{address.shown}: some of its coordinates lie nowhere on the earth: mend them")
        return _without_empty(shapes)


def _without_empty(shapes: Shapes) -> Shapes:
    kept = ~(shapely.is_missing(shapes.geometries) | shapely.is_empty(shapes.geometries))
    columns = {name: list(itertools.compress(values, kept)) for name, values in shapes.columns.items()}
    return replace(shapes, geometries=shapes.geometries[kept], columns=columns)


def _reader_of(beginning: bytes) -> Reader:
    for magic, reader in READERS.items():
        if beginning.startswith(magic):
            return reader
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return read_geojson
    if text.startswith((b"<?xml", b"<kml")) and b"<kml" in text:
        return read_kml
    raise ValueError(
        "it is none of GeoPackage, Shapefile, FlatGeobuf, GeoParquet, GeoJSON and KML; ogr2ogr converts others"
    )


def _read_geoparquet(path: Path, wanted: Sequence[str]) -> Shapes:
    import geopandas  # takes a second: only where there is such a file
    import pyarrow.parquet

    with path.open("rb") as file:
        parts = pyarrow.parquet.ParquetFile(file)
        for metadata in (parts.schema_arrow.metadata, parts.metadata.metadata):  # geopandas looks into both
            _check_crs_of_columns(json.loads((metadata or {}).get(b"geo", b"{}")))
        table = geopandas.read_parquet(file)
    columns = {name: table[name].tolist() for name in wanted if name in table}
    columns |= {name: table.index.get_level_values(name).tolist() for name in wanted if name in table.index.names}
    crs = None if table.crs is None else checked_crs(table.crs.to_json_dict())
    return Shapes(np.asarray(table.geometry.array, object), crs, columns)


def _check_crs_of_columns(geo: dict[str, Any]) -> None:
    """Raise `ValueError` for a CRS that must not be parsed as freely as geopandas does."""
    for column in geo.get("columns", {}).values():
        if column.get("crs") is not None:
            checked_crs(column["crs"])


def _read_flatgeobuf(path: Path, wanted: Sequence[str]) -> Shapes:
    with path.open("rb") as file:
        beginning = file.read(12)
        size = int.from_bytes(beginning[8:], "little")
        if beginning[4:7] != b"fgb" or size > MOST_HEADER_BYTES:
            raise ValueError("its beginning is not that of a FlatGeobuf")
        check_header(file.read(size))
    return _read_by_gdal({".fgb": path}, wanted)


def _read_shapefile(path: Path, wanted: Sequence[str]) -> Shapes:
    folder = path.absolute().parent
    beside = {each.suffix.lower(): each for each in folder.iterdir() if each.stem == path.stem}
    parts = {suffix: beside[suffix] for suffix in SHAPEFILE_PARTS if suffix in beside}
    if ".shx" not in parts or ".dbf" not in parts:
        raise ValueError("a Shapefile needs its .shx and .dbf beside it; a GeoPackage is one file")
    for part in parts.values():
        if part.name != path.name and not (part.is_file() and part.resolve().parent == folder.resolve()):
            raise ValueError(f"{part.name} is no file in its folder, but leads elsewhere")
    if ".prj" in parts and (text := parts[".prj"].read_text("utf-8-sig", "replace").strip()):
        checked_crs(text)
    return _read_by_gdal({**parts, ".shp": parts.get(".shp", path)}, wanted)


def _read_by_gdal(parts: dict[str, Path], wanted: Sequence[str]) -> Shapes:
    """What GDAL reads of files by ending, under another name and with nothing beside them."""
    import pyogrio.errors  # brings pandas, which takes a second: only where there is such a file
    import pyogrio.raw

    with TemporaryDirectory(prefix="geofcs-") as folder:
        for suffix, path in parts.items():
            _put(path, Path(folder) / f"area{suffix}")
        name = Path(folder) / f"area{'.shp' if '.shp' in parts else '.fgb'}"
        try:
            meta, _, wkb, fields = pyogrio.raw.read(name, columns=list(wanted))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise ValueError(str(error).replace(str(name), "the file")) from error
    crs = None if meta["crs"] is None else checked_crs(meta["crs"])
    columns = {str(name): values.tolist() for name, values in zip(meta["fields"], fields, strict=True)}
    return Shapes(np.asarray(shapely.from_wkb(wkb), object), crs, columns)


def _put(path: Path, name: Path) -> None:
    try:
        name.symlink_to(path.absolute())
    except OSError:  # Windows lets few users make links
        shutil.copyfile(path, name)


Reader = Callable[[Path, Sequence[str]], Shapes]

READERS: dict[bytes, Reader] = {
    b"SQLite format 3\0": read_geopackage,
    b"\0\0\x27\x0a": _read_shapefile,
    b"fgb\x03": _read_flatgeobuf,
    b"PAR1": _read_geoparquet,
}
"""By what files begin with; text, which may begin with space, is told apart by hand."""
