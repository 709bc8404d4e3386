"""Every tree that could stand: a tile of crowns that paves the plane, from which land picks as many as suit it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.noise import Floats, hashed, smooth, uniform, window_of

SIZE = 1024
"""Side of the tile in pixels."""

SPACING = 5.2
"""Metres between trees."""

SMALLEST_SPACING = 3.0
"""The same in pixels, at least: seen from afar a crown stands for a clump."""


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


@lru_cache(maxsize=4)
def canopy_of(gsd: float) -> Canopy:
    """The crowns for pixels of `gsd` metres. Made once; the same for every seed, which only shifts it."""
    per_side = max(1, int(SIZE / max(SPACING / gsd, SMALLEST_SPACING)))
    cell = SIZE / per_side
    trees = _trees(per_side)
    pixels = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
    own = (pixels / np.float32(cell)).astype(np.int64)
    bumps = smooth(7, pixels.astype(np.float64), pixels.astype(np.float64), 4.0, SIZE // 4)
    ragged = 1 + np.float32(0.14) * np.clip(bumps, -2.5, 2.5)
    best: dict[str, npt.NDArray[Any]] = {
        name: np.zeros((SIZE, SIZE), np.float32) for name in ("height", "rank", "tone")
    }
    best |= {name: np.zeros((SIZE, SIZE), np.int16) for name in ("down", "right")}
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            rows, cols = own + down, own + right
            tree = {name: values[np.ix_(rows % per_side, cols % per_side)] for name, values in trees.items()}
            dy = (rows[:, None] + tree["y"]) * np.float32(cell) - pixels[:, None]
            dx = (cols[None, :] + tree["x"]) * np.float32(cell) - pixels[None, :]
            radius = tree["radius"] * np.float32(cell)
            dome = 1 - (dy * dy + dx * dx) * ragged / (radius * radius)
            height = tree["height"] * (np.float32(0.35) + np.float32(0.65) * np.sqrt(np.maximum(dome, 0)))
            better = (dome > 0) & (height > best["height"])
            found = {
                "height": height,
                "rank": tree["rank"],
                "tone": tree["tone"],
                "down": np.rint(dy),
                "right": np.rint(dx),
            }
            for name, values in found.items():
                best[name][better] = values[better]
    return Canopy(**best, reach=int(np.ceil(1.1 * cell)) + 1)


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
