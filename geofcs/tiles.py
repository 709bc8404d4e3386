"""The lattice of tiles that covers a grid, each tile's share of a pixel, and the blocks that work is split into.

Everything here follows from (length, tile, overlap) per axis and never from how the work is split, so a pixel's value
cannot depend on workers or blocks.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from geofcs.errors import InputError

MOST_BLOCK_COLUMNS = 24
"""Tile columns in a block at most: bounds what a block keeps of a row of tiles in memory."""

MOST_SHARED_TILES = 0.08
"""Share of all tiles that splitting rows over workers may compute twice."""

BLOCKS_PER_WORKER = 3
"""Blocks wanted per worker, so that nobody waits long for the last one; fewer where too many tiles would be shared."""


@dataclass(frozen=True)
class Axis:
    """Tiles along one axis: they start at multiples of the stride, the last one moves inward.

    `length` pixels are covered by tiles of `tile` pixels, neighbours sharing `overlap`. Where the axis is shorter than
    a tile there is one tile, which reaches beyond the end.
    """

    length: int
    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.tile < 1:
            raise InputError(f"an axis of {self.length} pixels cannot be covered by tiles of {self.tile}")
        if not 0 <= self.overlap < self.tile:
            raise InputError(
                f"an overlap of {self.overlap} pixels does not fit tiles of {self.tile}: use 0 to {self.tile - 1}"
            )

    @property
    def stride(self) -> int:
        """Pixels from one tile's start to the next's."""
        return self.tile - self.overlap

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First pixel of each tile."""
        last = max(0, self.length - self.tile)
        return (*range(0, last, self.stride), last)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.starts)

    def owned(self, first: int, stop: int) -> tuple[int, int]:
        """Pixels (first, stop) that tiles `first` to `stop` (exclusive) own: each tile from its start to the next's."""
        return self.starts[first], self.length if stop == self.count else self.starts[stop]

    def first_touching(self, pixel: int) -> int:
        """Index of the first tile that reaches `pixel`."""
        return next(index for index, start in enumerate(self.starts) if start + self.tile > pixel)

    @cached_property
    def shares(self) -> npt.NDArray[np.float32]:
        """(count, tile) float32: how much each tile counts at each of its pixels; at every pixel they sum to one.

        All tiles have the same ramp, 1 at the rim up to `overlap + 1` inside, divided by the sum of the ramps that meet
        at a pixel: no border is special.
        """
        rise = np.minimum(np.arange(1, self.tile + 1), self.overlap + 1)
        ramp = np.minimum(rise, rise[::-1]).astype(np.float64)
        total = np.zeros(max(self.length, self.tile))
        for start in self.starts:
            total[start : start + self.tile] += ramp
        return np.stack([ramp / total[start : start + self.tile] for start in self.starts]).astype(np.float32)

    @cached_property
    def first_like(self) -> tuple[int, ...]:
        """For each tile the first one with the same shares: there are few kinds, however many tiles."""
        _, first, kind = np.unique(self.shares, axis=0, return_index=True, return_inverse=True)
        return tuple(first[kind.ravel()].tolist())


@dataclass(frozen=True)
class Block:
    """A unit of scheduling: the tiles whose rows and columns are owned by it (half-open ranges of tile indices)."""

    first_row: int
    stop_row: int
    first_col: int
    stop_col: int


@dataclass(frozen=True)
class Lattice:
    """All tiles of a scene, row-major."""

    rows: Axis
    cols: Axis

    @staticmethod
    def over(height: int, width: int, tile: int, overlap: int) -> Lattice:
        """The lattice of square tiles over a grid of (height, width) pixels."""
        return Lattice(Axis(height, tile, overlap), Axis(width, tile, overlap))

    @property
    def tile(self) -> int:
        """Side of a tile in pixels."""
        return self.rows.tile

    @property
    def count(self) -> int:
        """Number of tiles in the lattice."""
        return self.rows.count * self.cols.count

    def blocks(
        self, workers: int, most_columns: int = MOST_BLOCK_COLUMNS, per_worker: int = BLOCKS_PER_WORKER
    ) -> list[Block]:
        """The lattice cut into blocks for that many workers, `per_worker` for each if that is worth it.

        Columns are cut by width alone, so that strips have the same extent however many workers there are; rows are cut
        as often as balances the workers without computing too many tiles twice.
        """
        column_cuts = even_cuts(self.cols.count, math.ceil(self.cols.count / most_columns))
        across = len(column_cuts) - 1
        row_cuts = even_cuts(self.rows.count, self._row_parts(workers, across, per_worker))
        return [
            Block(first_row, stop_row, first_col, stop_col)
            for first_row, stop_row in itertools.pairwise(row_cuts)
            for first_col, stop_col in itertools.pairwise(column_cuts)
        ]

    def _row_parts(self, workers: int, across: int, per_worker: int) -> int:
        if workers == 1:
            return 1
        needed = math.ceil(workers / across)
        wanted = math.ceil(per_worker * workers / across)
        affordable = 1 + int(MOST_SHARED_TILES * self.rows.count)
        return min(self.rows.count, max(needed, min(wanted, affordable)))

    def tiles_to_compute(self, block: Block) -> int:
        """Tiles that a block runs: its own, and its neighbours' that reach into its pixels."""
        return (block.stop_row - self.first_row_needed(block)) * (block.stop_col - self.first_col_needed(block))

    def first_row_needed(self, block: Block) -> int:
        """The first tile row that reaches into the block's pixels."""
        return self.rows.first_touching(self.rows.starts[block.first_row])

    def first_col_needed(self, block: Block) -> int:
        """The first tile column that reaches into the block's pixels."""
        return self.cols.first_touching(self.cols.starts[block.first_col])


def even_cuts(count: int, parts: int) -> list[int]:
    """`parts` + 1 indices that cut range(count) into runs whose lengths differ by one at most."""
    return [count * part // parts for part in range(parts + 1)]
