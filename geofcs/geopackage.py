"""GeoPackages as the databases that they are: SQL in one can call nothing but SQLite's own functions.

Nothing beside one is read, or written: SQLite would make files there even for those who only read.

GDAL registers functions and tables of its own with SQLite that read files and ask servers, and a database may use them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from geofcs.errors import InputError

ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""By the kind of the envelope between a geometry's header and its well-known binary (OGC 12-128r18, 2.1.3)."""

HEADER_BYTES = 8

JOURNALS = ("-wal", "-journal")
"""Files beside a database with changes that are not yet in it, or have to be taken back."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, to be read only; `InputError` if some of it lies in a journal."""
    path = path.resolve()
    for journal in (path.with_name(path.name + ending) for ending in JOURNALS):
        if _is_in_use(journal):
            raise InputError(
                f"{path}: its latest changes lie in {journal.name}: close what has it open, as QGIS may; if nothing "
                "has, open and close it there once"
            )
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        yield database


def _is_in_use(journal: Path) -> bool:
    """Whether a journal holds anything; one that is done with may stay, empty or with zeros in front."""
    if journal.is_symlink() or not journal.is_file():
        return False
    with journal.open("rb") as file:
        return file.read(1) not in (b"", b"\0")


def wkb_in(blob: bytes) -> bytes:
    """The well-known binary of a geometry as a GeoPackage stores it; `ValueError` if it is none."""
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < HEADER_BYTES:
        raise ValueError("a geometry is none of a GeoPackage")
    kind = blob[3] >> 1 & 0b111
    if kind >= len(ENVELOPE_BYTES):
        raise ValueError("a geometry has an envelope of no known kind")
    return blob[HEADER_BYTES + ENVELOPE_BYTES[kind] :]
