"""What became of the regions of a change raster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PolygonCounts:
    """How many polygons were written, and how many regions were below the least area.

    `pixels_per_code` counts pixels of the raster, no change (0) and nodata included.
    """

    polygons: int
    polygons_below_min_area: int
    pixels_per_code: dict[int, int]
