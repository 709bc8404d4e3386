"""The row of accumulators: sums of what tiles say of a pixel, each times the tile's share of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofcs.tiles import Lattice


@dataclass(frozen=True)
class Part:
    """A rectangle of a tile: its rows, its columns in the row of accumulators and its own; `is_first` there or not."""

    rows: slice
    target: slice
    source: slice
    is_first: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of it."""
        return bool(self.rows.start >= self.rows.stop or self.source.start >= self.source.stop)


class RowSums:
    """Sums of some layers, float32, at the columns [first, stop) of the grid, for one tile row at a time.

    Tiles must be added in lattice order (rows downward, columns rightward): then a pixel's sum is the same to the last
    bit in whichever block it is made. Product and sum are separate operations for the same reason: each is correctly
    rounded, where a fused one may or may not be used at the end of a row. Where a tile is the first one its products
    are the sums: most of the memory is touched once per row.
    """

    def __init__(self, lattice: Lattice, first: int, stop: int, layers: int, device: torch.device) -> None:
        self._lattice = lattice
        self._first, self._stop = first, stop
        self._sums = torch.empty((layers, lattice.tile, stop - first), device=device)
        self._row_shares = torch.from_numpy(lattice.rows.shares).to(device)
        self._col_shares = torch.from_numpy(lattice.cols.shares).to(device)
        self._shares: dict[int, Tensor] = {}
        self._rows_begun = self._cols_begun = 0

    def add(self, row: int, col: int, layers: Tensor) -> None:
        """Add those of one tile, (layers, tile, tile)."""
        share = self._share(row, col)
        for part in self._parts(col):
            sums = self._sums[:, part.rows, part.target]
            here = part.rows, part.source
            if part.is_first:
                torch.mul(layers[:, *here], share[here], out=sums)
            else:
                sums += layers[:, *here] * share[here]

    def add_nothing(self, col: int) -> None:
        """Add zeros for a tile in column `col`."""
        for part in self._parts(col):
            if part.is_first:
                self._sums[:, part.rows, part.target] = 0

    @property
    def height(self) -> int:
        """Pixel rows that there are sums of."""
        return self._sums.shape[1]

    def top(self, height: int) -> Tensor:
        """The sums of the first pixel rows, (layers, height, width); they mean nothing where no tile was added."""
        return self._sums[:, :height]

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels: what lies below stays, for the next row of tiles to be added to."""
        self._cols_begun = 0
        self._shares.clear()
        if rows == 0:
            return
        kept = max(0, self._lattice.tile - rows)
        for first in range(0, kept, rows):  # no more at once than are moved by: no copy reads what it has written
            stop = min(first + rows, kept)
            self._sums[:, first:stop] = self._sums[:, first + rows : stop + rows]
        self._rows_begun = kept

    def _share(self, row: int, col: int) -> Tensor:
        """How much a tile counts at each of its pixels; most tiles of a row are alike in this."""
        kind = self._lattice.cols.first_like[col]
        if kind not in self._shares:
            self._shares[kind] = self._row_shares[row][:, None] * self._col_shares[col][None, :]
        return self._shares[kind]

    def _parts(self, col: int) -> list[Part]:
        """Where a tile meets the row above, where its left neighbour, and where it is the first one."""
        start, tile = self._lattice.cols.starts[col], self._lattice.tile
        left, stop = max(start, self._first) - self._first, min(start + tile, self._stop) - self._first
        own = start - self._first
        begun = min(max(self._cols_begun, left), stop)
        self._cols_begun = stop
        upper, lower = slice(0, self._rows_begun), slice(self._rows_begun, tile)
        parts = [
            Part(upper, slice(left, stop), slice(left - own, stop - own), is_first=False),
            Part(lower, slice(left, begun), slice(left - own, begun - own), is_first=False),
            Part(lower, slice(begun, stop), slice(begun - own, stop - own), is_first=True),
        ]
        return [part for part in parts if not part.is_empty]
