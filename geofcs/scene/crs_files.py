"""CRSs as inputs write them, which may name files: PROJ would open those, wherever they lie.

A CRS is taken if it is well-known text, PROJJSON, or a code: of these PROJ opens nothing while it reads them. What it
has understood is looked through and built anew, so that nothing is left but what was looked at.
"""

from __future__ import annotations

import re
from typing import Any

import pyproj
import pyproj.database
from rasterio.crs import CRS

WKT = re.compile(r"\s*\w*(?:CRS|CS)\s*[\[(]", re.IGNORECASE)
"""How well-known text of a CRS begins, and not that of an operation, for which PROJ opens what it names."""

CODE = re.compile(r"(\w+):(\w+)")
"""An authority and its code."""

PROJ_STRINGS = ("proj", "init")
"""Keys by which pyproj takes a mapping for a text of PROJ's own, which it resolves at once."""

UNUSED = ("remarks", "usages")
"""Parts of PROJJSON that place no coordinate; in remarks PROJ keeps a text of its own, and prefers it."""

PART_CODES = re.compile(r',AUTHORITY\["\w+","\w+"\]')
"""Codes of parts of a CRS, which PROJJSON leaves out where the whole has one."""

HARMLESS = frozenset({"@null", "PROJ ob_tran o_proj=longlat"})
"""Names that PROJ follows nowhere: of a grid without shifts, and of a turned pole."""


def checked_crs(said: str | dict[str, Any]) -> pyproj.CRS:
    """The CRS of an input, which names no file; `ValueError` if it does, or is no CRS."""
    try:
        content = _parsed(said).to_json_dict()
        _check(content)
        return pyproj.CRS.from_json_dict(content)
    except pyproj.exceptions.ProjError as error:
        raise ValueError(f"its CRS is none that PROJ knows ({str(said)[:80]}): write it anew in one of EPSG") from error


def checked_raster_crs(crs: CRS) -> CRS:
    """The CRS that GDAL found, checked likewise: in its own words if these are, but for codes, all that was looked at.

    Raises `ValueError` as above.
    """
    said, anew = crs.to_wkt(), checked_crs(crs.to_wkt()).to_wkt()
    is_all = PART_CODES.sub("", CRS.from_wkt(anew).to_wkt()) == PART_CODES.sub("", said)
    return CRS.from_wkt(said if is_all else anew)


def _parsed(said: str | dict[str, Any]) -> pyproj.CRS:
    if isinstance(said, dict) and str(said.get("type")).endswith("CRS") and not said.keys() & set(PROJ_STRINGS):
        return pyproj.CRS.from_json_dict(said)
    if isinstance(said, str):
        code = CODE.fullmatch(said.strip())
        if code and code[1].upper() in pyproj.database.get_authorities():
            return pyproj.CRS.from_authority(code[1].upper(), code[2])
        if WKT.match(said):
            return pyproj.CRS.from_wkt(said)
    raise ValueError(
        f"its CRS is neither well-known text nor a code such as EPSG:32631 ({str(said)[:80]}): write it anew in one of "
        "EPSG"
    )


def _check(part: Any) -> None:
    """Leave out what places no coordinate; `ValueError` for names of files, and for texts of PROJ's own."""
    if isinstance(part, list):
        for each in part:
            _check(each)
    if not isinstance(part, dict):
        return
    for name in UNUSED:
        part.pop(name, None)
    files = [each["value"] for each in part.get("parameters", ()) if isinstance(each.get("value"), str)]
    method = str(part.get("method", {}).get("name"))
    named = {*files, *([method] if method.upper().startswith("PROJ") else [])} - HARMLESS
    if named:
        raise ValueError(
            f"its CRS names a file or an operation of PROJ's ({min(named)[:80]}), which are not followed: write it "
            "anew in one of EPSG"
        )
    for each in part.values():
        _check(each)
