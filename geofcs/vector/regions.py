"""The 4-connected regions of one block: which are complete in it, which reach its rim, and what each adds up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.classes import NO_CHANGE
from geofcs.vector.areas import PixelAreas
from geofcs.vector.corners import Corners, find_vertices
from geofcs.vector.rings import Polygons, trace
from geofcs.vector.runs import Floats, Ints, Runs
from geofcs.vector.windows import Block


@dataclass(frozen=True)
class Regions:
    """A table of regions, or of the pieces of regions that lie in one block; one entry per region.

    `first` is the first pixel, row-major: row x width + col in the raster; `whole` is that of the region that it was
    cut from if it was too large, else the same. `percent_sum` and `percent_pixels` are sum and number of the known
    change scores of the region's pixels.
    """

    code: Ints
    first: Ints
    whole: Ints
    pixels: Ints
    area_m2: Floats
    percent_sum: Ints
    percent_pixels: Ints

    def __len__(self) -> int:
        return len(self.code)

    def take(self, index: npt.NDArray[Any]) -> Regions:
        """The regions at `index` (integers or flags)."""
        return Regions(
            self.code[index], self.first[index], self.whole[index], self.pixels[index], self.area_m2[index],
            self.percent_sum[index], self.percent_pixels[index],
        )  # fmt: skip

    @staticmethod
    def joined(parts: list[Regions]) -> Regions:
        """All parts, one after the other."""
        return Regions(
            np.concatenate([part.code for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.whole for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.area_m2 for part in parts]),
            np.concatenate([part.percent_sum for part in parts]),
            np.concatenate([part.percent_pixels for part in parts]),
        )

    def merged(self, whole: npt.NDArray[Any], count: int) -> Regions:
        """The `count` regions of which these are pieces; `whole` is the region of each piece."""
        code, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
        code[whole] = self.code
        np.minimum.at(first, whole, self.first)
        return Regions(
            code, first, first, _sums(whole, self.pixels, count), _totals(whole, self.area_m2, count),
            _sums(whole, self.percent_sum, count), _sums(whole, self.percent_pixels, count),
        )  # fmt: skip


@dataclass(frozen=True)
class Rim:
    """The regions along the first and last lines of a block's window, as indices of its open regions; -1: none."""

    top: Ints
    left: Ints
    bottom: Ints
    right: Ints


@dataclass(frozen=True)
class Tally:
    """Pixels and square metres of each code, indexed by code."""

    pixels: Ints
    area_m2: Floats

    @property
    def codes(self) -> Ints:
        """The codes that occur."""
        return np.flatnonzero(self.pixels)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.pixels + other.pixels, self.area_m2 + other.area_m2)


@dataclass(frozen=True)
class BlockRegions:
    """What a block holds: complete regions with their polygons, and what is open: pieces of regions that reach its rim,
    and regions with too many vertices for one polygon.

    `polygons.region` are indices of `complete`, `corners.region` of `open`. `dropped` complete regions were too small.
    """

    tally: Tally
    complete: Regions
    polygons: Polygons
    dropped: int
    open: Regions
    corners: Corners
    rim: Rim


def find_regions(
    codes: npt.NDArray[Any],
    percent: npt.NDArray[np.uint8] | None,
    nodata: int,
    block: Block,
    areas: PixelAreas,
    min_area: float,
    most_vertices: int | None = None,
) -> BlockRegions:
    """Everything about the block whose window holds `codes`, and change scores in `percent`.

    Complete regions below `min_area` square metres are left out, those of more than `most_vertices` are left open.
    """
    changed = codes * (codes != nodata)
    runs = Runs.of(codes, block, areas)
    count, label = runs.connected(changed)
    regions = _add_up(runs, label, count, percent, changed, block)
    lines = _rim_labels(changed, label, runs)
    is_open = np.zeros(count, bool)
    for line in lines:
        is_open[line[line >= 0]] = True
    vertices = find_vertices(changed, label, runs.of_pixel, block.top, block.left)
    if most_vertices is not None:
        is_open |= vertices.per_label(count) > most_vertices
    is_complete = ~is_open & (regions.code != NO_CHANGE) & (regions.code != nodata)
    is_kept = is_complete & ~(regions.area_m2 < min_area)
    kept, opened = numbered(is_kept), numbered(is_open)
    return BlockRegions(
        _tally(runs, nodata),
        regions.take(is_kept),
        trace(
            vertices.row, vertices.col, vertices.kinds_of(is_kept), kept[vertices.labels[3]], kept[vertices.labels[0]]
        ),
        int(np.count_nonzero(is_complete & ~is_kept)),
        regions.take(is_open),
        Corners.of(vertices, opened),
        Rim(*(np.where(line >= 0, opened[line], -1) for line in lines)),
    )


def _add_up(
    runs: Runs,
    label: npt.NDArray[np.int32],
    count: int,
    percent: npt.NDArray[np.uint8] | None,
    changed: npt.NDArray[Any],
    block: Block,
) -> Regions:
    """All regions of the window; runs of no change and of nodata count as regions of their own, without scores."""
    width = changed.shape[1]
    first_run = np.empty(count, np.int64)
    first_run[label[::-1]] = np.arange(len(label))[::-1]
    row, col = np.divmod(runs.start[first_run], width)
    percents = [np.zeros(count, np.int64)] * 2
    if percent is not None:
        percents = [_sums(label, each, count) for each in runs.percent(percent, changed, block)]
    first = (block.top - 1 + row) * block.raster_shape[1] + block.left - 1 + col
    return Regions(
        runs.code[first_run],
        first,
        first,
        _sums(label, runs.pixels, count),
        _totals(label, runs.area_m2, count),
        *percents,
    )


def _rim_labels(changed: npt.NDArray[Any], label: npt.NDArray[np.int32], runs: Runs) -> list[Ints]:
    """Labels along the top, left, bottom and right line of the window; -1 where no region is."""
    run_of = runs.of_pixel.reshape(changed.shape)
    lines = np.s_[0, :], np.s_[:, 0], np.s_[-1, :], np.s_[:, -1]
    return [np.where(changed[line] != NO_CHANGE, label[run_of[line]], -1) for line in lines]


def numbered(is_chosen: npt.NDArray[np.bool_]) -> Ints:
    """Numbers from 0 on for those that are chosen, -1 for the others."""
    return np.where(is_chosen, np.cumsum(is_chosen) - 1, -1)


def _tally(runs: Runs, nodata: int) -> Tally:
    return Tally(_sums(runs.code, runs.pixels, nodata + 1), _totals(runs.code, runs.area_m2, nodata + 1))


def _sums(group: npt.NDArray[Any], values: Ints, count: int) -> Ints:
    return _totals(group, values, count).astype(np.int64)  # below 2^53 float64 counts exactly


def _totals(group: npt.NDArray[Any], values: npt.NDArray[Any], count: int) -> Floats:
    return np.bincount(group, values, count).astype(np.float64, copy=False)
