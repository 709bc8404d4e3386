"""GeoPackages, read without GDAL, and from plain tables only: views and computed columns run what a file says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from geofcs.geopackage import opened, wkb_in
from geofcs.scene.crs_files import checked_crs
from geofcs.scene.shapes import Shapes

UNDEFINED = (-1, 0, 99999)
"""`srs_id` of what has no CRS: of the format, and of GDAL."""

STEPS_PER_BYTE = 10
FEWEST_STEPS = 10**7
"""Of SQLite's machine: a row takes some four, and one for each column. A damaged file may lead round in circles."""


def read_geopackage(path: Path, wanted: Sequence[str]) -> Shapes:
    """The geometries of a file's first layer that has some, with those of the `wanted` columns that it has.

    Raises `sqlite3.Error`, `ValueError` and what shapely and pyproj raise over damaged ones.
    """
    size = path.stat().st_size
    with opened(path) as base:
        base.set_progress_handler(lambda: True, FEWEST_STEPS + STEPS_PER_BYTE * size)
        for name in ("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys"):
            _columns_of(base, name)
        found = base.execute(
            "SELECT g.table_name, g.column_name, g.srs_id FROM gpkg_contents c JOIN gpkg_geometry_columns g ON "
            "c.table_name = g.table_name WHERE c.data_type = 'features' ORDER BY c.rowid LIMIT 1"
        ).fetchone()
        if found is None:
            raise ValueError("none of its layers has geometries")
        table, geometry, srs_id = found
        has = _columns_of(base, table)
        if geometry not in has:
            raise ValueError(f"its table {table!r} has no column {geometry!r} of geometries")
        names = [name for name in wanted if name in has]
        found = base.execute(f"SELECT {', '.join(map(_quoted, [geometry, *names]))} FROM {_quoted(table)}")
        rows = list(_as_many_as_fit(found, size))
        crs = _crs_of(base, srs_id)
    wkb = np.array([None if row[0] is None else wkb_in(row[0]) for row in rows], object)
    columns = {name: [row[number] for row in rows] for number, name in enumerate(names, 1)}
    try:
        geometries = np.asarray(shapely.from_wkb(wkb), object)
    except NotImplementedError as error:
        raise ValueError("it holds curves: ogr2ogr -nlt CONVERT_TO_LINEAR makes straight lines of them") from error
    return Shapes(geometries, crs, columns)


def _columns_of(base: sqlite3.Connection, table: str) -> set[str]:
    """The columns that a table stores; `ValueError` if it is none."""
    kind = base.execute(
        "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", (table,)
    ).fetchone()
    if kind is None or kind[0] != "table":
        raise ValueError(f"{table!r} is no table that it stores: ogr2ogr writes views out as such")
    return {name for (name,) in base.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _as_many_as_fit(rows: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[Any, ...]]:
    """Rows, of which no file holds more bytes than it has."""
    for row in rows:
        size -= 1 + sum(len(value) for value in row if isinstance(value, bytes | str))
        if size < 0:
            raise ValueError("its table is larger than the file")
        yield row


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _crs_of(base: sqlite3.Connection, srs_id: int) -> pyproj.CRS | None:
    if srs_id in UNDEFINED:
        return None
    found = base.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?",
        (srs_id,),
    ).fetchone()
    if found is None:
        raise ValueError(f"it does not describe its CRS {srs_id}")
    organization, code, definition = found
    return checked_crs(f"EPSG:{code}" if str(organization).upper() == "EPSG" else str(definition))
