"""Regions that lie in several blocks: their pieces wait here until no block to come can add to them."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geofcs.vector.corners import Corners
from geofcs.vector.regions import BlockRegions, Regions, numbered
from geofcs.vector.runs import Ints
from geofcs.vector.windows import Block

NOBODY = -1


class Seams:
    """Takes the blocks of a row from left to right, row after row; gives the regions that each row completes.

    Neighbouring windows share a line of pixels. A pixel on it has a piece of a region in either block: these two pieces
    are of one region, and the regions of a row are the groups of pieces that hang together so. Between two rows only
    those regions are kept that reach the last line: a table entry for each, and their corners.
    """

    def __init__(self, raster_width: int) -> None:
        self._pieces: list[Regions] = []
        self._corners: list[Corners] = []
        self._count = 0
        self._same: list[Ints] = []
        self._above = np.full(raster_width + 2, NOBODY)
        self._below = self._above.copy()
        self._left = np.full(0, NOBODY)

    def add(self, block: Block, found: BlockRegions) -> None:
        """Take the pieces of the next block of the row."""
        number = np.append(np.arange(len(found.open)) + self._count, NOBODY)
        rim = found.rim
        columns = slice(block.left, block.left + len(rim.top))
        self._equate(number[rim.top], self._above[columns])
        if block.left:
            self._equate(number[rim.left], self._left)
        self._below[columns] = number[rim.bottom]
        self._left = number[rim.right]
        self._pieces.append(found.open)
        self._corners.append(found.corners.renumbered(number))
        self._count += len(found.open)

    def finish_row(self, min_area: float) -> tuple[Regions, Corners, int]:
        """The row's complete regions, their corners, and how many more were below `min_area` square metres."""
        whole, count = self._groups()
        regions = Regions.joined(self._pieces).merged(whole, count)
        is_open = np.zeros(count, bool)
        is_open[whole[self._below[self._below != NOBODY]]] = True
        is_kept = ~is_open & ~(regions.area_m2 < min_area)
        complete = self._corners_of(numbered(is_kept)[whole]).in_order()
        self._carry_over(regions.take(is_open), numbered(is_open)[whole])
        return regions.take(is_kept), complete, int(np.count_nonzero(~is_open & ~is_kept))

    def _equate(self, one: Ints, other: Ints) -> None:
        pairs = np.stack([one, other])[:, (one != NOBODY) & (other != NOBODY)]
        self._same.append(np.unique(pairs, axis=1))

    def _groups(self) -> tuple[Ints, int]:
        """For each piece the region it belongs to, and how many regions there are."""
        one, other = np.concatenate(self._same, axis=1)
        graph = coo_array((np.ones(len(one)), (one, other)), (self._count, self._count))
        count, whole = connected_components(graph, directed=False)
        return whole.astype(np.int64), count

    def _corners_of(self, number: Ints) -> Corners:
        """The corners of the pieces that have a number, under that number."""
        parts = [part.renumbered(number) for part in self._corners]
        return Corners.joined([part.take(part.region != NOBODY) for part in parts])

    def _carry_over(self, regions: Regions, number: Ints) -> None:
        """Go on to the next row with the regions that are still open; `number` are theirs per piece."""
        self._corners = [self._corners_of(number)]
        self._above = np.append(number, NOBODY)[self._below]
        self._below = np.full_like(self._above, NOBODY)
        self._pieces, self._count, self._same = [regions], len(regions), []
