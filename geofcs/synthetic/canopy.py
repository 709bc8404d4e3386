"""Every tree that could stand: a tile of crowns that paves the plane, from which land picks as many as suit it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.noise import Floats, hashed, smooth, uniform, window_of

SIZE = 1024
"""Side of the tile in pixels."""

SPACING = 5.2
"""Metres between trees."""

SMALLEST_SPACING = 3.0
"""The same in pixels, at least: seen from afar a crown stands for a clump."""

STEP = 8
"""Trees along a side of the tile come in multiples of this, so that similar pixel sizes share a tile."""


@dataclass(frozen=True)
class Canopy:
    """A (SIZE, SIZE) tile of tree crowns.

    `height` is the crown's surface in metres, 0 between crowns; `down` and `right` lead from a pixel to the middle of
    its tree, in pixels, at most `reach`; `rank` is the tree's, in [0, 1): where land bears a share s of all trees,
    those of a rank below s stand. `tone` is the tree's own colour in [-1, 1].
    """

    height: Floats
    down: npt.NDArray[np.int16]
    right: npt.NDArray[np.int16]
    rank: Floats
    tone: Floats
    reach: int

    def window(self, row: int, col: int, height: int, width: int) -> Canopy:
        """(height, width) of the plane paved with this, from (row, col) on."""
        layers = (self.height, self.down, self.right, self.rank, self.tone)
        tall, down, right, rank, tone = (window_of(layer, row, col, height, width) for layer in layers)
        return Canopy(tall, down, right, rank, tone, self.reach)


def canopy_of(gsd: float) -> Canopy:
    """The crowns for pixels of `gsd` metres: the same for every seed, which only shifts them."""
    per_side = SIZE / max(SPACING / gsd, SMALLEST_SPACING)
    return _canopy(max(1, round(per_side / STEP)) * STEP)


@lru_cache(maxsize=16)  # 16 MB each, kept for training, which goes from one pixel size to another
def _canopy(per_side: int) -> Canopy:
    """A tile of `per_side` x `per_side` trees: each pixel belongs to the highest crown over it."""
    cell = np.float32(SIZE / per_side)
    trees = _trees(per_side)
    pixels = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    bumps = smooth(7, pixels.astype(np.float64), pixels.astype(np.float64), 4.0, SIZE // 4)
    ragged = 1 + np.float32(0.14) * np.clip(bumps, -2.5, 2.5)
    height, owner = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.intp)
    down, right = np.zeros((SIZE, SIZE), np.int16), np.zeros((SIZE, SIZE), np.int16)
    own = (pixels / cell).astype(np.intp)
    for rows in (own - 1, own, own + 1):
        for cols in (own - 1, own, own + 1):
            tree = (rows % per_side)[:, None] * per_side + (cols % per_side)[None, :]
            dy = (rows[:, None] + trees["y"].take(tree)) * cell - pixels[:, None]
            dx = (cols[None, :] + trees["x"].take(tree)) * cell - pixels[None, :]
            dome = 1 - (dy * dy + dx * dx) * ragged / np.square(trees["radius"] * cell).take(tree)
            crown = trees["height"].take(tree) * (np.float32(0.35) + np.float32(0.65) * np.sqrt(np.maximum(dome, 0)))
            higher = (dome > 0) & (crown > height)
            for layer, found in ((height, crown), (owner, tree), (down, np.rint(dy)), (right, np.rint(dx))):
                np.copyto(layer, found, where=higher, casting="unsafe")
    reach = int(np.ceil(1.1 * cell)) + 1
    return Canopy(height, down, right, trees["rank"].take(owner), trees["tone"].take(owner), reach)


def _trees(per_side: int) -> dict[str, Floats]:
    """One tree per lattice cell: middle and radius in cells, height in metres, rank, tone."""
    index = np.arange(per_side)
    y, x, size, rank = (uniform(key, index, index) for key in (1, 2, 3, 4))
    tone = ((hashed(5, index, index) % np.uint64(2001)).astype(np.float32) - 1000) / np.float32(1000)
    unit = np.float32(1)
    return {
        "y": np.float32(0.2) + np.float32(0.6) * y, "x": np.float32(0.2) + np.float32(0.6) * x,
        "radius": np.float32(0.42) + np.float32(0.4) * size, "height": 4 * unit + 7 * unit * size,
        "rank": rank, "tone": tone,
    }  # fmt: skip
