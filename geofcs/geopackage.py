"""GeoPackages as the databases that they are: SQL in one can call nothing but SQLite's own functions.

GDAL registers functions and tables of its own with SQLite that read files and ask servers, and a database may use them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""By the kind of the envelope between a geometry's header and its well-known binary (OGC 12-128r18, 2.1.3)."""

HEADER_BYTES = 8


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, to be read only."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        yield database


def wkb_in(blob: bytes) -> bytes:
    """The well-known binary of a geometry as a GeoPackage stores it; `ValueError` if it is none."""
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < HEADER_BYTES:
        raise ValueError("a geometry is none of a GeoPackage")
    kind = blob[3] >> 1 & 0b111
    if kind >= len(ENVELOPE_BYTES):
        raise ValueError("a geometry has an envelope of no known kind")
    return blob[HEADER_BYTES + ENVELOPE_BYTES[kind] :]
