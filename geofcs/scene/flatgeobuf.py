"""The CRS in a FlatGeobuf's header, looked at before GDAL sees it: some it resolves while it opens a file.

The header is a table of FlatBuffers; the numbers of its fields are those of FlatGeobuf's header.fbs.
"""

from __future__ import annotations

import re
import struct

from geofcs.scene.crs_files import checked_crs

MOST_HEADER_BYTES = 10 * 2**20
"""What GDAL takes; so the last byte of the size is zero."""

CRS = 10
ORGANIZATION, WKT, CODE = 0, 4, 5
WORD = re.compile(r"\w*")


def check_header(header: bytes) -> None:
    """Raise `ValueError` or `struct.error` for a header whose CRS may lead elsewhere, or that is damaged."""
    crs = _field(header, _pointed(header, 0), CRS)
    if crs is None:
        return
    table = _pointed(header, crs)
    for number in (ORGANIZATION, CODE):
        if not WORD.fullmatch(_text(header, table, number)):
            raise ValueError("its CRS has a code that is none")
    if text := _text(header, table, WKT):
        checked_crs(text)


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a table lies; None if it is left out."""
    fields = table - struct.unpack_from("<i", buffer, table)[0]
    entry = 4 + 2 * number
    if fields < 0 or entry >= struct.unpack_from("<H", buffer, fields)[0]:
        return None
    offset = struct.unpack_from("<H", buffer, fields + entry)[0]
    return table + offset if offset else None


def _pointed(buffer: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", buffer, place)[0])


def _text(buffer: bytes, table: int, number: int) -> str:
    place = _field(buffer, table, number)
    if place is None:
        return ""
    start = _pointed(buffer, place)
    length = struct.unpack_from("<I", buffer, start)[0]
    return buffer[start + 4 : start + 4 + length].decode("utf-8")
