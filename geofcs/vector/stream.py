"""All regions of a raster with their polygons, as the blocks come by; knows of arrays only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.errors import VerificationError
from geofcs.vector.areas import PixelAreas
from geofcs.vector.corners import Corners
from geofcs.vector.pieces import Cut, pieces_of
from geofcs.vector.regions import BlockRegions, Regions, Tally, find_regions, numbered
from geofcs.vector.rings import Polygons, trace
from geofcs.vector.seams import Seams
from geofcs.vector.threads import Map
from geofcs.vector.windows import Block, block_rows

ReadBlock = Callable[[Block], tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]]
"""Gives from-to codes of a block's window, and change scores in percent if there are any."""

FIXED_GRID = Cut()


class RegionStream:
    """Goes through a raster once, block by block.

    Afterwards `tally` tells pixels and square metres of each code and `dropped` how many regions were below `min_area`.
    """

    def __init__(self, read: ReadBlock, areas: PixelAreas, nodata: int, min_area: float, cut: Cut = FIXED_GRID) -> None:
        self._read = read
        self._areas = areas
        self._nodata = nodata
        self._min_area = min_area
        self._cut = cut
        self.dropped = 0
        self.tally = Tally(np.zeros(nodata + 1, np.int64), np.zeros(nodata + 1))

    def regions(
        self, side: int, progress: Callable[[int], None], in_order: Map = map
    ) -> Iterator[tuple[Regions, Polygons]]:
        """Regions as soon as they are complete, polygon i of each pair being that of region i.

        The raster is cut into blocks of `side` pixels, which `in_order` looks through, in several threads perhaps;
        `progress` is told of pixels done. Regions of too many vertices come in pieces. Regions are found by their
        pixels and polygons by their corners: `VerificationError` if the two differ in size.
        """
        height, width = self._areas.grid_shape
        seams = Seams(width)
        rows = block_rows(height, width, side)
        all_found = in_order(self._find, itertools.chain.from_iterable(rows))
        for row in rows:
            for block, found in zip(row, all_found, strict=False):
                self.tally = self.tally + found.tally
                self.dropped += found.dropped
                seams.add(block, found)
                yield _matched(found.complete, found.polygons)
                progress(block.height * block.width)
            regions, corners, dropped = seams.finish_row(self._min_area)
            self.dropped += dropped
            yield from self._outlined(regions, corners)

    def _find(self, block: Block) -> BlockRegions:
        codes, percent = self._read(block)
        return find_regions(codes, percent, self._nodata, block, self._areas, self._min_area, self._cut.most_vertices)

    def _outlined(self, regions: Regions, corners: Corners) -> Iterator[tuple[Regions, Polygons]]:
        """Regions with their polygons; those of too many vertices in pieces."""
        is_large = corners.per_region(len(regions)) > self._cut.most_vertices
        small = corners.renumbered(numbered(~is_large))
        small = small.take(small.region >= 0)
        yield _matched(regions.take(~is_large), trace(small.row, small.col, small.kinds, small.region, small.region))
        for number in np.flatnonzero(is_large):
            its_own = corners.take(corners.region == number)
            pieces = pieces_of(regions.take(np.array([number])), its_own, self._areas, self._nodata, self._cut.cell)
            yield from itertools.starmap(_matched, pieces)


def _matched(regions: Regions, polygons: Polygons) -> tuple[Regions, Polygons]:
    if not np.array_equal(polygons.region, np.arange(len(regions))) or (polygons.pixels != regions.pixels).any():
        raise VerificationError(
            "the polygons are not those of the regions: this is a fault in geofcs, please report it with the raster"
        )
    return regions, polygons
