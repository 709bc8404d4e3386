"""Polygons of KML; its links to other files are not followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyproj
import shapely

from geofcs.scene.shapes import Shapes


def read_kml(path: Path, _wanted: Sequence[str]) -> Shapes:
    """The polygons of a file, which has longitude and latitude, and no columns.

    Raises `ValueError` for entities, which no KML needs, and `ParseError` for what is no XML.
    """
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it defines entities, which no KML needs")
    polygons = [_polygon(each) for each in _below(ET.fromstring(content), "Polygon")]
    return Shapes(np.array(polygons, object), pyproj.CRS.from_authority("OGC", "CRS84"))


def _polygon(element: ET.Element) -> shapely.Polygon:
    outer = [ring for part in _below(element, "outerBoundaryIs") for ring in _rings(part)]
    if len(outer) != 1:
        raise ValueError("a polygon has no outline, or several")
    return shapely.Polygon(outer[0], [ring for part in _below(element, "innerBoundaryIs") for ring in _rings(part)])


def _rings(element: ET.Element) -> Iterator[list[tuple[float, ...]]]:
    """The positions of rings: longitude, latitude and perhaps a height, with commas between."""
    for coordinates in _below(element, "coordinates"):
        yield [tuple(float(number) for number in each.split(",")[:2]) for each in (coordinates.text or "").split()]


def _below(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """All elements of a name, in whichever version of KML's namespace."""
    return (each for each in element.iter() if each.tag.rpartition("}")[2] == name)
