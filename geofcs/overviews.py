"""Overviews: a raster at half its size again and again, each pixel made of the two by two that it lies over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

INTERNAL_TILE = 512
"""Side of a product's internal tiles in pixels, the COG driver's own default; the smallest overview is one."""

Pixels = npt.NDArray[Any]
Halve = Callable[[Pixels, int], Pixels]
"""From pixels (2h, 2w) and their nodata value to one for each two by two, (h, w)."""


def shapes_of(height: int, width: int) -> list[tuple[int, int]]:
    """Rows and columns of a raster and its overviews, the last of which fits into an internal tile."""
    shapes = [(height, width)]
    while max(shapes[-1]) > INTERNAL_TILE:
        height, width = (-(-length // 2) for length in shapes[-1])
        shapes.append((height, width))
    return shapes


def whole_quads(pixels: Pixels, nodata: int) -> Pixels:
    """Pixels (h, w) at the end of a raster, with nodata beyond it where a row or a column is lacking to halve them."""
    missing = pixels.shape[0] % 2, pixels.shape[1] % 2
    return np.pad(pixels, ((0, missing[0]), (0, missing[1])), constant_values=nodata) if any(missing) else pixels


def most_frequent(pixels: Pixels, nodata: int) -> Pixels:
    """The value that most of four have, nodata not counted; GDAL's choice of several: row by row, the first to have so
    many."""
    quads = _quads(pixels)
    first, *others = quads
    chosen = first.copy()
    mixed = np.flatnonzero(np.logical_or.reduce([other != first for other in others]))
    if len(mixed):
        rows, cols = np.divmod(mixed, first.shape[1])
        values = np.stack([quad[rows, cols] for quad in quads])
        so_far = np.stack([(values[: place + 1] == values[place]).sum(0) for place in range(len(quads))])
        winner = (so_far * (values != nodata)).argmax(0)
        chosen[rows, cols] = values[winner, np.arange(len(mixed))]
    return chosen


def average(pixels: Pixels, nodata: int) -> Pixels:
    """The mean of four, nodata not counted, a half rounded up."""
    quads = _quads(pixels)
    if not (pixels == nodata).any():
        return ((_sum(quads) + 2) >> 2).astype(pixels.dtype)
    known = [quad != nodata for quad in quads]
    count, total = _sum(known), _sum([quad * each for quad, each in zip(quads, known, strict=True)])
    mean = (total + count // 2) // np.maximum(count, 1)
    return np.where(count > 0, mean, nodata).astype(pixels.dtype)


def _sum(parts: Sequence[Pixels]) -> npt.NDArray[np.uint32]:
    total = parts[0].astype(np.uint32)
    for part in parts[1:]:
        total += part
    return total


def _quads(pixels: Pixels) -> list[Pixels]:
    """The four pixels of each two by two, row by row."""
    return [pixels[row::2, col::2] for row in range(2) for col in range(2)]
