"""Regions with more vertices than one polygon should have: cut along the lines of a fixed grid into pieces.

A row of a GeoPackage holds 10^9 bytes at most (SQLITE_MAX_LENGTH), which are 60 million vertices; what reads polygons
gives up long before. A pixel lies in a region if the region has an odd number of corners above and left of it, so its
pixels are found again from its corners, a row of cells at a time, and each cell is looked at as a raster of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.errors import VerificationError
from geofcs.vector.areas import PixelAreas
from geofcs.vector.corners import Corners
from geofcs.vector.regions import Regions, find_regions
from geofcs.vector.rings import Polygons
from geofcs.vector.windows import Block


@dataclass(frozen=True)
class Cut:
    """Which regions are cut, and the sides of the grid's cells, in pixels, that begin at multiples of it.

    A region is never cut that lies in a cell; in one there is room for two vertices at each of its corners.
    """

    most_vertices: int = 2_500_000
    cell: int = 1024


def pieces_of(
    region: Regions, corners: Corners, areas: PixelAreas, nodata: int, cell: int
) -> Iterator[tuple[Regions, Polygons]]:
    """The pieces of one region (a table of one) with their polygons, cell by cell; `corners` are its own, row-major.

    Each has pixels and square metres of its own, the region's change scores, and the region's first pixel as `whole`.
    """
    height, width = areas.grid_shape
    found = 0
    for top, left, inside in _rows_of_cells(corners, height, cell):
        stop = left + inside.shape[1]
        for start in range(left // cell * cell, stop, cell):
            first, last = max(start, left), min(start + cell, stop)
            part = inside[:, first - left : last - left]
            if not part.any():
                continue
            codes = np.pad(part, 1) * region.code[0]
            block = Block(top, first, len(part), last - first, (height, width))
            pieces = find_regions(codes, None, nodata, block, areas, 0.0)
            found += int(pieces.complete.pixels.sum())
            yield _belonging_to(region, pieces.complete), pieces.polygons
    if found != region.pixels[0]:
        raise VerificationError(
            "the pieces of a region are not as large as the region: this is a fault in geofcs, please report it with "
            "the raster"
        )


def _rows_of_cells(corners: Corners, height: int, cell: int) -> Iterator[tuple[int, int, npt.NDArray[np.bool_]]]:
    """(top, left, (h, w)) of each row of cells: which pixels lie in the region, between its first and last column."""
    left, width = int(corners.col.min()), int(np.ptp(corners.col))
    is_odd = (np.bitwise_count(corners.kinds) & 1).astype(np.uint8)
    above = np.zeros(width + 1, np.uint8)
    for top in range(int(corners.row[0]) // cell * cell, int(corners.row[-1]), cell):
        bottom = min(top + cell, height)
        some = slice(*np.searchsorted(corners.row, (top, bottom)))
        inside = np.zeros((bottom - top, width + 1), np.uint8)
        np.bitwise_xor.at(inside, (corners.row[some] - top, corners.col[some] - left), is_odd[some])
        inside[0] ^= above
        np.bitwise_xor.accumulate(inside, axis=0, out=inside)
        above = inside[-1].copy()
        np.bitwise_xor.accumulate(inside, axis=1, out=inside)
        yield top, left, inside[:, :-1].astype(bool)


def _belonging_to(region: Regions, pieces: Regions) -> Regions:
    def of_region(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.repeat(values, len(pieces))

    return replace(
        pieces,
        whole=of_region(region.whole),
        percent_sum=of_region(region.percent_sum),
        percent_pixels=of_region(region.percent_pixels),
    )
