"""Where the outlines of regions turn: every vertex of a block at which the 2 x 2 pixels around it form a corner.

The four pixels around a vertex are a b above c d. A region has a *convex* corner at a pixel whose two neighbours are
not its own, and a *concave* corner around a pixel whose two neighbours are its own while the pixel is not. Where a
region's pixels touch across a diagonal, both other pixels get a concave corner: outlines then touch at the vertex and
never cross, and polygons are valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

A, B, C, D = range(4)

CONVEX = tuple(np.uint8(1 << pixel) for pixel in (A, B, C, D))
"""Bits of a vertex's kinds: a convex corner of pixel a, b, c, d."""

CONCAVE = tuple(np.uint8(16 << pixel) for pixel in (A, B, C, D))
"""Bits of a vertex's kinds: a concave corner around pixel a, b, c, d."""

OWNED = (
    CONVEX[A] | CONCAVE[B] | CONCAVE[C],
    CONVEX[B] | CONCAVE[A] | CONCAVE[D],
    CONVEX[C],
    CONVEX[D],
)
"""The kinds that belong to the region of pixel a, b, c, d; of a region that holds several of them, the first counts."""


@dataclass(frozen=True)
class Vertices:
    """The vertices of a block at which some region has a corner, row-major.

    `row` and `col` count vertices of the raster, `kinds` are bits of `CONVEX` and `CONCAVE`, `labels` (4, n) the
    regions of the pixels a, b, c, d.
    """

    row: Ints
    col: Ints
    kinds: npt.NDArray[np.uint8]
    labels: Ints

    def kinds_of(self, chosen: Bools) -> npt.NDArray[np.uint8]:
        """The kinds that belong to the chosen regions (a flag per label)."""
        kept = np.zeros_like(self.kinds)
        for pixel, owned in enumerate(OWNED):
            kept |= np.where(chosen[self.labels[pixel]], self.kinds & owned, 0).astype(np.uint8)
        return kept

    def per_label(self, count: int) -> Ints:
        """How many vertices the outlines of each of `count` labels have, their rings not closed."""
        counts = np.zeros(count, np.int64)
        for pixel, owned in enumerate(OWNED):
            counts += _vertices_per(self.labels[pixel], self.kinds & owned, count)
        return counts


@dataclass(frozen=True)
class Corners:
    """Corners of regions that are known by number: at each entry one vertex, the kinds of one region, that region."""

    row: Ints
    col: Ints
    kinds: npt.NDArray[np.uint8]
    region: Ints

    @staticmethod
    def of(vertices: Vertices, number: Ints) -> Corners:
        """The corners of the regions that have a number (per label; -1: not wanted)."""
        parts = []
        for pixel, owned in enumerate(OWNED):
            region = number[vertices.labels[pixel]]
            at = np.flatnonzero((vertices.kinds & owned).astype(bool) & (region >= 0))
            parts.append(Corners(vertices.row[at], vertices.col[at], vertices.kinds[at] & owned, region[at]))
        return Corners.joined(parts)

    @staticmethod
    def joined(parts: list[Corners]) -> Corners:
        """All parts, one after the other."""
        return Corners(
            np.concatenate([part.row for part in parts]),
            np.concatenate([part.col for part in parts]),
            np.concatenate([part.kinds for part in parts]),
            np.concatenate([part.region for part in parts]),
        )

    def take(self, index: npt.NDArray[Any]) -> Corners:
        """The entries at `index` (integers or flags)."""
        return Corners(self.row[index], self.col[index], self.kinds[index], self.region[index])

    def per_region(self, count: int) -> Ints:
        """How many vertices the outlines of each of `count` regions have, their rings not closed."""
        return _vertices_per(self.region, self.kinds, count)

    def renumbered(self, number: Ints) -> Corners:
        """The same corners with `number[region]` for each region."""
        return Corners(self.row, self.col, self.kinds, number[self.region])

    def in_order(self) -> Corners:
        """Row-major, and right where a region's pieces from two blocks meet across a diagonal.

        Each block saw but a convex corner there: together they are the concave corners around the two other pixels.
        """
        entries = self.take(np.lexsort((self.region, self.col, self.row)))
        twin = (
            (entries.row[1:] == entries.row[:-1])
            & (entries.col[1:] == entries.col[:-1])
            & (entries.region[1:] == entries.region[:-1])
        )
        first = np.flatnonzero(twin)
        both = np.concatenate([first, first + 1])
        kinds = entries.kinds.copy()
        kinds[both] = _ACROSS[kinds[both]]
        return Corners(entries.row, entries.col, kinds, entries.region)


def _vertices_per(group: npt.NDArray[Any], kinds: npt.NDArray[np.uint8], count: int) -> Ints:
    return np.bincount(group, np.bitwise_count(kinds), count).astype(np.int64)  # outlines turn once for each kind


_ACROSS = np.zeros(256, np.uint8)
for _convex, _concave in ((A, B), (D, C), (B, A), (C, D)):
    _ACROSS[CONVEX[_convex]] = CONCAVE[_concave]


def find_vertices(
    codes: npt.NDArray[Any], labels: npt.NDArray[Any], run_of: npt.NDArray[np.int32], top: int, left: int
) -> Vertices:
    """The corners inside a window of `codes` (h, w), 0 where no region is.

    `labels[run_of[pixel]]` is the region of a flat pixel index. The vertex between the first four pixels is vertex
    (top, left) of the raster.
    """
    width = codes.shape[1]
    across, down = codes[:, 1:] != codes[:, :-1], codes[1:] != codes[:-1]
    row, col = np.divmod(np.flatnonzero((down[:, :-1] | down[:, 1:]) & (across[:-1] | across[1:])), width - 1)
    pixel = row * width + col
    around = np.stack([pixel, pixel + 1, pixel + width, pixel + width + 1])
    regions = labels[run_of[around]]
    return Vertices(row + top, col + left, _kinds(codes.ravel()[around], regions), regions)


def _kinds(codes: npt.NDArray[Any], regions: Ints) -> npt.NDArray[np.uint8]:
    a, b, c, d = codes
    ab, cd, ac, bd = a == b, c == d, a == c, b == d
    ad = (a == d) & (a != 0) & ~ab & ~ac & (regions[A] == regions[D])
    bc = (b == c) & (b != 0) & ~ab & ~bd & (regions[B] == regions[C])
    flags = (
        (CONVEX[A], (a != 0) & ~ab & ~ac & ~ad),
        (CONVEX[B], (b != 0) & ~ab & ~bd & ~bc),
        (CONVEX[C], (c != 0) & ~ac & ~cd & ~bc),
        (CONVEX[D], (d != 0) & ~bd & ~cd & ~ad),
        (CONCAVE[A], (d != 0) & bd & cd & ~ab | bc),
        (CONCAVE[B], (c != 0) & ac & cd & ~ab | ad),
        (CONCAVE[C], (b != 0) & ab & bd & ~ac | ad),
        (CONCAVE[D], (a != 0) & ab & ac & ~bd | bc),
    )
    kinds = np.zeros(a.shape, np.uint8)
    for bit, present in flags:
        kinds |= np.where(present, bit, np.uint8(0))
    return kinds
