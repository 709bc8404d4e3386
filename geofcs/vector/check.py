"""Whether a GeoPackage is whole: every page of it, the number of its features, and that each is a valid polygon."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import shapely

from geofcs.errors import VerificationError
from geofcs.geopackage import opened, wkb_in

LAYER = "changes"
ROWS_PER_BATCH = 65_536

INDEX = f"rtree_{LAYER}_geom_rowid"
"""A table of the spatial index with a row for each feature; unlike the index itself, any SQLite reads it."""


def check_pages(package: Path, count: int) -> None:
    """Let SQLite check every page, and count the rows themselves (the layer only tells what it believes).

    The rows of the spatial index are counted as well: on a full disk GDAL leaves it out and reports nothing. Raises
    `VerificationError`.
    """
    try:
        with opened(package) as database:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
            rows, indexed = (
                database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in (LAYER, INDEX)
            )
    except sqlite3.DatabaseError as error:
        verdict, rows, indexed = str(error), "an unknown number", "some"
    if verdict != "ok" or rows != count or indexed != count:
        raise VerificationError(
            f"{package.name} holds {rows} of {count} polygons, its index {indexed}, SQLite says {verdict!r}: the disk "
            "may be full or failing; free some space and give the same command again"
        )


def check_closed(package: Path) -> None:
    """See that each table has the triggers of the others: GDAL makes the last while it closes the file, and on a full
    disk leaves them out and reports nothing. Raises `VerificationError`.
    """
    with opened(package) as database:
        counts = database.execute(
            "SELECT table_name, (SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = table_name "
            "AND name LIKE '%feature_count%') FROM gpkg_contents"
        ).fetchall()
    if len({count for _, count in counts}) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in counts)
        raise VerificationError(
            f"{package.name} lacks triggers ({found}): the disk may be full or failing; free some space and give the "
            "same command again"
        )


def check_polygons(package: Path) -> None:
    """Read every feature, and see that it is a valid polygon. Raises `VerificationError`."""
    try:
        with opened(package) as database:
            rows = database.execute(f"SELECT geom FROM {LAYER}")
            while batch := rows.fetchmany(ROWS_PER_BATCH):
                shapes = shapely.from_wkb([wkb_in(blob) for (blob,) in batch])
                if not (shapely.is_valid(shapes) & (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON)).all():
                    raise VerificationError(f"{package.name} holds something else than valid polygons")
    except (sqlite3.Error, shapely.errors.GEOSException, ValueError) as error:
        raise VerificationError(f"{package.name} cannot be read ({error})") from error
