"""Horizontal runs of one code in a block's window, and which of them hang together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from geofcs.classes import PERCENT_NODATA
from geofcs.vector.areas import PixelAreas
from geofcs.vector.windows import Block

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Runs:
    """Maximal horizontal runs of one code, row-major; they tile the window.

    `begins` (h, w) flags their first pixels, `start` are these as flat indices, `of_pixel` (h w) is the run of each
    pixel. `pixels` and `area_m2` count only what is the block's own and not its neighbours'.
    """

    begins: npt.NDArray[np.bool_]
    start: Ints
    code: Ints
    of_pixel: npt.NDArray[np.int32]
    pixels: Ints
    area_m2: Floats

    @staticmethod
    def of(codes: npt.NDArray[Any], block: Block, areas: PixelAreas) -> Runs:
        """The runs of a window of codes."""
        height, width = codes.shape
        begins = np.ones((height, width), bool)
        np.not_equal(codes[:, 1:], codes[:, :-1], out=begins[:, 1:])
        start = np.flatnonzero(begins)
        row, col = np.divmod(start, width)
        stop = np.append(start[1:], height * width) - row * width
        own_col, own_stop = np.maximum(col, 1), np.minimum(stop, 1 + block.width)
        is_own = (row >= 1) & (row <= block.height)
        pixels = np.where(is_own, np.maximum(own_stop - own_col, 0), 0)
        of_pixel = begins.ravel().cumsum(dtype=np.int32)
        of_pixel -= 1
        size = areas.at(block.top - 1 + row, block.left - 1 + (own_col + own_stop) / 2)
        return Runs(begins, start, codes.ravel()[start].astype(np.int64), of_pixel, pixels, size * pixels)

    def percent(self, percent: npt.NDArray[np.uint8], changed: npt.NDArray[Any], block: Block) -> tuple[Ints, Ints]:
        """Sum of the known change scores of each run's own pixels, and how many there are; 0 where nothing changed."""
        counts = (percent != PERCENT_NODATA) & (changed != 0)
        counts[0] = counts[1 + block.height :] = False
        counts[:, 0] = counts[:, 1 + block.width :] = False
        pixels = np.flatnonzero(counts)
        run, count = self.of_pixel[pixels], len(self.start)
        total = np.bincount(run, percent.ravel()[pixels], count)  # float64 counts exactly up to 2^53
        return total.astype(np.int64), np.bincount(run, minlength=count)

    def connected(self, changed: npt.NDArray[Any]) -> tuple[int, npt.NDArray[np.int32]]:
        """The 4-connected regions of `changed` (h, w; 0 where no region is): how many, and the number of each run.

        Regions are numbered by their first runs. A run of what is no region has a number of its own.
        """
        width = changed.shape[1]
        meets = (changed[1:] == changed[:-1]) & (changed[1:] != 0) & (self.begins[1:] | self.begins[:-1])
        upper = np.flatnonzero(meets)
        above, below = self.of_pixel[upper], self.of_pixel[upper + width]
        count = len(self.start)
        neighbours = np.concatenate([[0], np.cumsum(np.bincount(below, minlength=count))]).astype(np.int32)
        graph = csr_array((np.ones(len(above)), above, neighbours), (count, count))
        regions, label = connected_components(graph, directed=False)
        return int(regions), label
