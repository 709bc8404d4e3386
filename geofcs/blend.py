"""The row of accumulators that a block's tiles are blended into, and the labels of a row once it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geofcs.classes import NO_CHANGE, PERCENT_NODATA, ClassScheme
from geofcs.model.interface import Scores
from geofcs.tiles import Block, Lattice

COVER_NODATA = 255

ROWS_AT_ONCE = 8

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """Finished pixels, each (h, w): from-to codes, change score in percent, and land covers where changed (else 0)."""

    codes: npt.NDArray[Any]
    percent: npt.NDArray[Any]
    cover_t1: npt.NDArray[Any]
    cover_t2: npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """A rectangle of a tile: its rows, its columns in the row of accumulators and its own; `is_first` there or not."""

    rows: slice
    target: slice
    source: slice
    is_first: bool


class RowBlend:
    """Sums of softmax scores times tile shares, float32, for one tile row of a block at a time.

    Tiles must be added in lattice order (rows downward, columns rightward): then a pixel's sum is the same to the last
    bit in whichever block it is made. Product and sum are separate operations for the same reason: each is correctly
    rounded, where a fused one may or may not be used at the end of a row. Where a tile is the first one its products
    are the sums: most of the memory is touched once per row.
    """

    def __init__(self, lattice: Lattice, block: Block, scheme: ClassScheme, device: torch.device) -> None:
        self._lattice = lattice
        self._scheme = scheme
        self._first, self._stop = lattice.cols.owned(block.first_col, block.stop_col)
        layers = 1 + 2 * len(scheme.land_covers)
        self._sums = torch.empty((layers, lattice.tile, self._stop - self._first), device=device)
        self._valid = np.zeros((lattice.tile, self._stop - self._first), np.bool_)
        self._left_out = np.zeros_like(self._valid)
        self._row_shares = torch.from_numpy(lattice.rows.shares).to(device)
        self._col_shares = torch.from_numpy(lattice.cols.shares).to(device)
        self._rows_begun = self._cols_begun = 0

    def add_valid(self, col: int, valid: Mask) -> None:
        """Note which pixels of the tile in column `col` are valid; `valid` is (h, w), cut at the grid's end."""
        target, source = self._columns(col, valid.shape[1])
        self._valid[: valid.shape[0], target] = valid[:, source]

    def leave_out(self, col: int) -> None:
        """Make nodata of all pixels of the tile in column `col`, which has no scores, where it overlaps others too."""
        target, _ = self._columns(col, self._lattice.tile)
        self._left_out[:, target] = True

    def add_scores(self, row: int, col: int, scores: Scores) -> None:
        """Blend in the scores of one tile, batch axis dropped: change (tile, tile), t1 and t2 (K - 1, tile, tile)."""
        layers = [layer for layer in (scores.change[None], scores.t1, scores.t2) if layer is not None]
        for part in self._parts(col):
            share = self._row_shares[row, part.rows][:, None] * self._col_shares[col, part.source][None, :]
            first = 0
            for layer in layers:
                stop = first + layer.shape[0]
                sums = self._sums[first:stop, part.rows, part.target]
                if part.is_first:
                    torch.mul(layer[:, part.rows, part.source], share, out=sums)
                else:
                    sums += layer[:, part.rows, part.source] * share
                first = stop

    def add_nothing(self, col: int) -> None:
        """Blend in zeros for a tile in column `col` that was not scored, no pixel of it being valid."""
        for part in self._parts(col):
            if part.is_first:
                self._sums[:, part.rows, part.target] = 0

    def _parts(self, col: int) -> list[Part]:
        """Where a tile meets the row above, where its left neighbour, and where it is the first one."""
        target, source = self._columns(col, self._lattice.tile)
        begun = min(max(self._cols_begun, target.start), target.stop)
        met = begun - target.start + source.start
        self._cols_begun = target.stop
        upper, lower = slice(None, self._rows_begun), slice(self._rows_begun, None)
        return [
            Part(upper, target, source, is_first=False),
            Part(lower, slice(target.start, begun), slice(source.start, met), is_first=False),
            Part(lower, slice(begun, target.stop), slice(met, source.stop), is_first=True),
        ]

    def _columns(self, col: int, width: int) -> tuple[slice, slice]:
        """Where the first `width` columns of a tile lie in the row of accumulators, and which of them do."""
        start = self._lattice.cols.starts[col]
        left, right = max(start, self._first), min(start + width, self._stop)
        return slice(left - self._first, right - self._first), slice(left - start, right - start)

    def scores(self, height: int) -> Tensor:
        """Blended scores of the top `height` pixel rows, (1 + 2(K - 1), height, width): change, t1, t2.

        They mean nothing where no tile was added.
        """
        return self._sums[:, :height]

    def finish(self, height: int, threshold: float) -> Labels:
        """Labels of the top `height` pixel rows, which no later tile touches, by the consistent variant (spec 5).

        Changed is a blended change score above `threshold`; the land covers are the highest blended scores among
        classes 1..K-1, looked at only where changed. Invalid pixels are nodata in every map.
        """
        score = self.scores(height)[0]
        valid = self._valid[:height] & ~self._left_out[:height]
        changed = np.flatnonzero((score > threshold).cpu().numpy() & valid)
        dtype = self._scheme.code_dtype
        codes, cover_t1, cover_t2 = (np.full(valid.shape, NO_CHANGE, dtype) for _ in range(3))
        percent = _in_percent(score.cpu().numpy(), dtype)
        if len(changed):
            before, after = self._covers(changed)
            codes.ravel()[changed] = self._scheme.encode(before, after)
            cover_t1.ravel()[changed], cover_t2.ravel()[changed] = before, after
        if not valid.all():
            for layer, nodata in (
                (codes, self._scheme.nodata),
                (percent, PERCENT_NODATA),
                (cover_t1, COVER_NODATA),
                (cover_t2, COVER_NODATA),
            ):
                layer[~valid] = nodata
        return Labels(codes, percent, cover_t1, cover_t2)

    def _covers(self, changed: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Classes at both dates of the pixels with these flat indices; 0 in a binary scheme."""
        covers = len(self._scheme.land_covers)
        if not covers:
            return np.zeros_like(changed), np.zeros_like(changed)
        where = torch.from_numpy(changed).to(self._sums.device)
        scores = self._sums.flatten(1)[1:].index_select(1, where).cpu().numpy()
        return scores[:covers].argmax(0) + 1, scores[covers:].argmax(0) + 1

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels: what lies below stays, for the next row of tiles to be added to."""
        self._cols_begun = 0
        if rows == 0:
            return
        tile, kept = self._lattice.tile, max(0, self._lattice.tile - rows)
        for first in range(0, kept, rows):  # no more at once than are moved by: no copy reads what it has written
            stop = min(first + rows, kept)
            self._sums[:, first:stop] = self._sums[:, first + rows : stop + rows]
        for mask in (self._valid, self._left_out):
            mask[:kept] = mask[tile - kept :].copy()
            mask[kept:] = False
        self._rows_begun = kept


def _in_percent(score: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Scores in whole percent, a few rows at a time: what lies between stays in the cache."""
    percent = np.empty(score.shape, dtype)
    for top in range(0, len(score), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        percent[rows] = np.rint(score[rows] * np.float32(100))
    return percent
