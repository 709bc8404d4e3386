"""Whether a GeoPackage is whole: every page of it, the number of its features, and that each is a valid polygon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from geofcs.errors import VerificationError

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
        with _sqlite(package) as database:
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


def check_polygons(package: Path) -> None:
    """Read every feature, and see that it is a valid polygon. Raises `VerificationError`."""
    try:
        with pyogrio.open_arrow(package, layer=LAYER, columns=[], use_pyarrow=True, batch_size=ROWS_PER_BATCH) as (
            meta,
            reader,
        ):
            for batch in reader:
                shapes = shapely.from_wkb(batch.column(meta["geometry_name"] or "wkb_geometry").to_numpy(False))
                if not (shapely.is_valid(shapes) & (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON)).all():
                    raise VerificationError(f"{package.name} holds something else than valid polygons")
    except (DataSourceError, DataLayerError, shapely.errors.GEOSException, OSError) as error:
        raise VerificationError(f"{package.name} cannot be read ({error})") from error


@contextmanager
def _sqlite(package: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"{package.absolute().as_uri()}?mode=ro", uri=True)
    try:
        yield database
    finally:
        database.close()
