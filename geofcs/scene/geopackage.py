"""GeoPackages, read without GDAL."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import shapely

from geofcs.geopackage import opened, wkb_in
from geofcs.scene.shapes import Shapes

UNDEFINED = (-1, 0, 99999)
"""`srs_id` of what has no CRS: of the format, and of GDAL."""


def read_geopackage(path: Path, wanted: Sequence[str]) -> Shapes:
    """The geometries of a file's first layer that has some, with those of the `wanted` columns that it has.

    Raises `sqlite3.Error`, `ValueError` and what shapely and pyproj raise over damaged ones.
    """
    with opened(path) as base:
        found = base.execute(
            "SELECT g.table_name, g.column_name, g.srs_id FROM gpkg_contents c JOIN gpkg_geometry_columns g ON "
            "c.table_name = g.table_name WHERE c.data_type = 'features' ORDER BY c.rowid LIMIT 1"
        ).fetchone()
        if found is None:
            raise ValueError("none of its layers has geometries")
        table, geometry, srs_id = found
        has = {column[0] for column in base.execute(f"SELECT * FROM {_quoted(table)} LIMIT 0").description}
        names = [name for name in wanted if name in has]
        rows = base.execute(f"SELECT {', '.join(map(_quoted, [geometry, *names]))} FROM {_quoted(table)}").fetchall()
        crs = _crs_of(base, srs_id)
    wkb = np.array([None if row[0] is None else wkb_in(row[0]) for row in rows], object)
    columns = {name: [row[number] for row in rows] for number, name in enumerate(names, 1)}
    return Shapes(np.asarray(shapely.from_wkb(wkb), object), crs, columns)


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
    if str(organization).upper() == "EPSG":
        return pyproj.CRS.from_authority("EPSG", code)
    return pyproj.CRS.from_wkt(str(definition))
