"""GeoJSON (RFC 7946, and the CRS of its predecessor of 2008), without the dialects and links that GDAL follows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely

from geofcs.scene.crs_files import checked_crs
from geofcs.scene.shapes import Shapes

GEOMETRIES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)

CRS_NAME = re.compile(r"(?:urn:ogc:def:crs:)?(\w+):(?:[\w.]*:)?(\w+)")
"""An authority and its code, with or without version: a CRS of any other name could be a file or an address."""


def read_geojson(path: Path, wanted: Sequence[str]) -> Shapes:
    """The geometries of a file with those of the `wanted` properties that any of them has; others have None.

    Raises `ValueError` and what json, shapely and pyproj raise over such as are damaged.
    """
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise ValueError(
                "it holds several texts, as GeoJSONSeq does: ogr2ogr -f GeoJSON makes one of them"
            ) from None
        raise
    features = _features_in(content)
    geometries = [each.get("geometry") for each in features]
    texts = np.array([None if each is None else json.dumps(each) for each in geometries], object)
    properties = [each.get("properties") or {} for each in features]
    columns = {
        name: [each.get(name) for each in properties] for name in wanted if any(name in each for each in properties)
    }
    return Shapes(np.asarray(shapely.from_geojson(texts), object), _crs_in(content), columns)


def _features_in(content: Any) -> list[dict[str, Any]]:
    kind = content.get("type")
    if kind in GEOMETRIES:
        return [{"geometry": content}]
    features = [content] if kind == "Feature" else content.get("features")
    if kind not in ("Feature", "FeatureCollection") or not isinstance(features, list):
        raise ValueError(f"JSON of the type {kind!r} is no GeoJSON")
    if not all(isinstance(each, dict) and isinstance(each.get("properties") or {}, dict) for each in features):
        raise ValueError("its features are none of GeoJSON")
    return features


def _crs_in(content: dict[str, Any]) -> pyproj.CRS | None:
    """Longitude and latitude, unless the file names another CRS, or says that it has none."""
    said = content.get("crs", {"properties": {"name": "OGC:CRS84"}})
    if said is None:
        return None
    properties = said.get("properties") if isinstance(said, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    known = CRS_NAME.fullmatch(name) if isinstance(name, str) else None
    if known is None:
        raise ValueError("its CRS is no name such as urn:ogc:def:crs:EPSG::32631, and links are not followed")
    return checked_crs(":".join(known.groups()))
