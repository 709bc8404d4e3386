"""From corners to polygons: outlines are linked, walked and sorted, all in whole pixels and all at once.

Along a line of the lattice the upper edges of regions are disjoint, so the k-th corner where one begins belongs to the
k-th where one ends; the same holds for lower, left and right edges. That links every corner to its two neighbours
without any search. Outlines run clockwise as seen on the map, holes the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from geofcs.errors import VerificationError
from geofcs.vector.corners import CONCAVE, CONVEX, A, B, C, D, Ints

UPPER_STARTS, UPPER_ENDS = CONVEX[D] | CONCAVE[B], CONVEX[C] | CONCAVE[A]
"""Corners where the upper edge of pixel d begins, that of pixel c ends (the outline runs to the right)."""

LOWER_STARTS, LOWER_ENDS = CONVEX[A] | CONCAVE[C], CONVEX[B] | CONCAVE[D]
"""Corners where the lower edge of pixel a begins, that of pixel b ends (to the left)."""

RIGHT_STARTS, RIGHT_ENDS = CONVEX[C] | CONCAVE[D], CONVEX[A] | CONCAVE[B]
"""Corners where the right edge of pixel c begins, that of pixel a ends (downward)."""

LEFT_STARTS, LEFT_ENDS = CONVEX[B] | CONCAVE[A], CONVEX[D] | CONCAVE[C]
"""Corners where the left edge of pixel b begins, that of pixel d ends (upward)."""


@dataclass(frozen=True)
class Polygons:
    """Polygons in whole pixels, in the order of their regions; each is an outline and then its holes.

    `vertices` (k, 2) are (col, row), closed rings one after the other; ring i is `vertices[rings[i]:rings[i + 1]]`,
    polygon j the rings from `polygons[j]` to `polygons[j + 1]`. `region` (n) ascends, `pixels` (n) are the areas.
    """

    vertices: Ints
    rings: Ints
    polygons: Ints
    region: Ints
    pixels: Ints

    def part(self, first: int, stop: int) -> Polygons:
        """Polygons `first` to `stop` (exclusive)."""
        polygons = self.polygons[first : stop + 1]
        rings = self.rings[polygons[0] : polygons[-1] + 1]
        vertices = self.vertices[rings[0] : rings[-1]]
        some = slice(first, stop)
        return Polygons(vertices, rings - rings[0], polygons - polygons[0], self.region[some], self.pixels[some])


def trace(
    row: Ints, col: Ints, kinds: npt.NDArray[np.uint8], lower_right: npt.NDArray[Any], upper_left: npt.NDArray[Any]
) -> Polygons:
    """The polygons of complete regions.

    Vertices come row-major; those of several regions may stand in one entry or in several. `lower_right` and
    `upper_left` tell the regions of the pixels d and a of each.
    """
    upper_start, upper_end = np.flatnonzero(kinds & UPPER_STARTS), np.flatnonzero(kinds & UPPER_ENDS)
    lower_start, lower_end = np.flatnonzero(kinds & LOWER_STARTS), np.flatnonzero(kinds & LOWER_ENDS)
    if len(upper_start) != len(upper_end) or len(lower_start) != len(lower_end):
        raise VerificationError("an outline does not close: this is a fault in geofcs, please report it")
    start, end = np.concatenate([upper_start, lower_start]), np.concatenate([upper_end, lower_end])
    following = _link(col, kinds, start, end)
    length = np.where(np.arange(len(start)) < len(upper_start), -1, 1) * np.abs(col[end] - col[start])
    region = np.concatenate([lower_right[upper_start], upper_left[lower_start]])
    return _assemble(np.stack([col, row], axis=1), start, end, following, length * row[start], region)


def _link(col: Ints, kinds: npt.NDArray[np.uint8], start: Ints, end: Ints) -> Ints:
    """Which horizontal edge follows upon which: they are numbered, first all upper and then all lower ones."""
    upper = np.count_nonzero(kinds & UPPER_STARTS)
    starts = np.empty((2, len(kinds)), np.int64)
    ends = np.empty((2, len(kinds)), np.int64)
    for side, edges in enumerate((slice(None, upper), slice(upper, None))):
        starts[side, start[edges]] = np.arange(len(start))[edges]
        ends[side, end[edges]] = np.arange(len(end))[edges]
    order = _column_major(col)
    sorted_kinds = kinds[order]
    following = np.empty(len(start), np.int64)
    for leaving, upper_before, arriving, upper_after in (
        (RIGHT_STARTS, CONVEX[C], RIGHT_ENDS, CONCAVE[B]),
        (LEFT_STARTS, CONCAVE[A], LEFT_ENDS, CONVEX[D]),
    ):
        begin, stop = order[(sorted_kinds & leaving).astype(bool)], order[(sorted_kinds & arriving).astype(bool)]
        before = np.where(kinds[begin] & upper_before, ends[0, begin], ends[1, begin])
        following[before] = np.where(kinds[stop] & upper_after, starts[0, stop], starts[1, stop])
    return following


def _column_major(col: Ints) -> Ints:
    """The order by column of vertices that come row-major."""
    offset = col - (col.min() if len(col) else 0)
    narrow = not len(col) or offset.max() < 1 << 16
    return np.argsort(offset.astype(np.uint16) if narrow else offset, kind="stable")  # numpy sorts 16 bits by radix


def _assemble(points: Ints, start: Ints, end: Ints, following: Ints, area: Ints, region: Ints) -> Polygons:
    """Walk the rings and put them in order: by region, the outline first.

    `area` is each edge's share of the area its ring encloses, which is negative for holes.
    """
    edges = len(start)
    if not edges:
        no_ends, nothing = np.zeros(1, np.int64), np.zeros(0, np.int64)
        return Polygons(points[:0], no_ends, no_ends, nothing, nothing)
    count, ring = connected_components(_graph(following), directed=True, connection="strong")
    first = np.empty(count, np.int64)
    first[ring[::-1]] = np.arange(edges)[::-1]
    enclosed = np.bincount(ring, area, count).astype(np.int64)
    order = np.lexsort((first, enclosed < 0, region[first]))
    walk = _walk(following, first[order])
    sizes = 2 * np.bincount(ring, minlength=count)[order] + 1
    outlines = np.flatnonzero(enclosed[order] > 0)
    return Polygons(
        points[_closed(np.stack([start[walk], end[walk]], axis=1).ravel(), sizes)],
        np.concatenate([[0], np.cumsum(sizes)]),
        np.append(outlines, count),
        region[first[order[outlines]]],
        np.add.reduceat(enclosed[order], outlines),
    )


def _graph(following: Ints) -> Any:
    edges = len(following)
    return csr_array((np.ones(edges), following.astype(np.int32), np.arange(edges + 1, dtype=np.int32)), (edges, edges))


def _walk(following: Ints, first: Ints) -> Ints:
    """All edges, ring after ring, each from its first edge on: the rings are hooked into one and walked at once."""
    before = np.empty_like(following)
    before[following] = np.arange(len(following))
    hooked = following.copy()
    hooked[before[first]] = np.roll(first, -1)
    return np.asarray(breadth_first_order(_graph(hooked), first[0], return_predecessors=False))


def _closed(vertices: Ints, sizes: Ints) -> Ints:
    """Rings of `sizes` vertices with the first one repeated at the end."""
    ends = np.cumsum(sizes) - 1
    closed = np.empty(ends[-1] + 1, vertices.dtype)
    is_end = np.zeros(len(closed), bool)
    is_end[ends] = True
    closed[~is_end] = vertices
    closed[ends] = closed[ends - sizes + 1]
    return closed
