"""A deterministic sample of a pair's pixels, from which radiometric scaling is found."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rasterio.windows import Window

from geofcs.grid import Grid
from geofcs.scene.pair import ScenePair

SAMPLINGS = ((8, 128), (32, 32))
"""Windows a side and pixels per window: about a million pixels; the second finds what the first misses."""


def sample_windows(grid: Grid, count: int, side: int) -> Iterator[Window]:
    """`count` x `count` windows of `side` pixels evenly over the grid, or all of it where that is no more."""
    rows, cols = _starts(grid.height, count, side), _starts(grid.width, count, side)
    for top, left in itertools.product(rows, cols):
        yield Window(left, top, min(side, grid.width - left), min(side, grid.height - top))


def valid_share(pair: ScenePair) -> float:
    """The share of pixels that are valid on both dates, in a sample of about a million."""
    with pair.open() as reader:
        parts = [reader.read_values(window).valid for window in sample_windows(pair.grid, *SAMPLINGS[0])]
    return float(sum(part.sum() for part in parts) / sum(part.size for part in parts))


def _starts(length: int, count: int, side: int) -> list[int]:
    if length <= count * side:
        return list(range(0, length, side))
    return [index * (length - side) // (count - 1) for index in range(count)]
