"""Change polygons: one per region of one code, from rasters of any size, as if the whole raster were seen at once."""

from __future__ import annotations

from geofcs.vector.polygonize import PolygonCounts, polygonize, polygons_of

__all__ = ["PolygonCounts", "polygonize", "polygons_of"]
