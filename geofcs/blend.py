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

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of it."""
        return bool(self.rows.start >= self.rows.stop or self.source.start >= self.source.stop)

    def within(self, rows: slice, source: slice) -> Part:
        """What of it lies in some rows and columns of the tile; perhaps nothing."""
        rows, source = _common(self.rows, rows), _common(self.source, source)
        shift = self.target.start - self.source.start
        return Part(rows, slice(source.start + shift, source.stop + shift), source, self.is_first)

    def without(self, inner: Part) -> list[Part]:
        """What is left of it beside a part that lies in it: above and below, left and right."""
        above, below = slice(self.rows.start, inner.rows.start), slice(inner.rows.stop, self.rows.stop)
        left, right = slice(self.source.start, inner.source.start), slice(inner.source.stop, self.source.stop)
        return [
            *(self.within(rows, self.source) for rows in (above, below)),
            *(self.within(inner.rows, source) for source in (left, right)),
        ]


def _common(one: slice, other: slice) -> slice:
    start = max(one.start, other.start)
    return slice(start, max(start, min(one.stop, other.stop)))


class RowBlend:
    """Sums of softmax scores times tile shares, float32, for one tile row of a block at a time.

    Tiles must be added in lattice order (rows downward, columns rightward): then a pixel's sum is the same to the last
    bit in whichever block it is made. Product and sum are separate operations for the same reason: each is correctly
    rounded, where a fused one may or may not be used at the end of a row. Where a tile is the first one its products
    are the sums: most of the memory is touched once per row.

    Where a tile is alone its scores are the sums. On a CPU the land covers of what changed there are looked up at once,
    so that most scores are neither written nor read again. A GPU would have to be waited for; there all layers of a
    tile are joined first, so that three times as few kernels are launched.
    """

    def __init__(
        self, lattice: Lattice, block: Block, scheme: ClassScheme, device: torch.device, threshold: float
    ) -> None:
        self._lattice = lattice
        self._scheme = scheme
        self._threshold = threshold
        self._looks_up_at_once = device.type == "cpu" and not scheme.is_binary
        self._first, self._stop = lattice.cols.owned(block.first_col, block.stop_col)
        layers = 1 + 2 * len(scheme.land_covers)
        self._sums = torch.empty((layers, lattice.tile, self._stop - self._first), device=device)
        self._valid = np.zeros((lattice.tile, self._stop - self._first), np.bool_)
        self._left_out = np.zeros_like(self._valid)
        self._looked_up = np.zeros((2, *self._valid.shape), np.uint8)
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
        change, covers = [scores.change[None]], [layer for layer in (scores.t1, scores.t2) if layer is not None]
        together = change + covers if self._sums.device.type == "cpu" else [torch.cat(change + covers)]
        for part in self._parts(col):
            if part.is_first and self._looks_up_at_once:
                alone = part.within(self._lattice.rows.alone(row), self._lattice.cols.alone(col))
                self._add(row, col, part, change, 0)
                self._look_up(alone, scores.change, covers)
                for rest in part.without(alone):
                    self._add(row, col, rest, covers, 1)
            else:
                self._add(row, col, part, together, 0)

    def _add(self, row: int, col: int, part: Part, layers: list[Tensor], first: int) -> None:
        """Add layers (n, tile, tile) of a tile to the sums from layer `first` on."""
        if part.is_empty:
            return
        share = self._row_shares[row, part.rows][:, None] * self._col_shares[col, part.source][None, :]
        for layer in layers:
            stop = first + layer.shape[0]
            sums = self._sums[first:stop, part.rows, part.target]
            if part.is_first:
                torch.mul(layer[:, part.rows, part.source], share, out=sums)
            else:
                sums += layer[:, part.rows, part.source] * share
            first = stop

    def _look_up(self, part: Part, change: Tensor, covers: list[Tensor]) -> None:
        """Note the land covers of what changed in a part where no other tile has a say."""
        rows, cols = _where(change[part.rows, part.source].numpy() > self._threshold)
        for looked_up, layer in zip(self._looked_up, covers, strict=True):
            scores = layer[:, part.rows, part.source].numpy()[:, rows, cols]
            looked_up[part.rows, part.target][rows, cols] = scores.argmax(0) + 1

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
        upper, lower = slice(0, self._rows_begun), slice(self._rows_begun, self._lattice.tile)
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

    def change_scores(self, height: int) -> npt.NDArray[np.float32]:
        """Blended change scores of the top `height` pixel rows, (height, width); they mean nothing without a tile."""
        return np.asarray(self._sums[0, :height].cpu().numpy())

    def finish(self, height: int) -> Labels:
        """Labels of the top `height` pixel rows, which no later tile touches, by the consistent variant (spec 5).

        Changed is a blended change score above the threshold; the land covers are the highest blended scores among
        classes 1..K-1, looked at only where changed. Invalid pixels are nodata in every map.
        """
        score = self.change_scores(height)
        valid = self._valid[:height] & ~self._left_out[:height]
        changed = np.flatnonzero((score > self._threshold) & valid)
        dtype = self._scheme.code_dtype
        codes, cover_t1, cover_t2 = (np.full(valid.shape, NO_CHANGE, dtype) for _ in range(3))
        percent = _in_percent(score, dtype)
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

    def _covers(self, changed: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """Classes (2, n) at both dates of the pixels with these flat indices; 0 in a binary scheme."""
        classes = self._looked_up.reshape(2, -1)[:, changed]
        covers = len(self._scheme.land_covers)
        others = np.flatnonzero(classes[0] == 0) if covers else changed[:0]
        if len(others):
            where = torch.from_numpy(changed[others]).to(self._sums.device)
            scores = self._sums.flatten(1)[1:].index_select(1, where).cpu().numpy()
            classes[:, others] = [scores[:covers].argmax(0) + 1, scores[covers:].argmax(0) + 1]
        return classes

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels: what lies below stays, for the next row of tiles to be added to."""
        self._cols_begun = 0
        if rows == 0:
            return
        self._looked_up[:] = 0  # where a tile is alone no later one reaches
        tile, kept = self._lattice.tile, max(0, self._lattice.tile - rows)
        for first in range(0, kept, rows):  # no more at once than are moved by: no copy reads what it has written
            stop = min(first + rows, kept)
            self._sums[:, first:stop] = self._sums[:, first + rows : stop + rows]
        for mask in (self._valid, self._left_out):
            mask[:kept] = mask[tile - kept :].copy()
            mask[kept:] = False
        self._rows_begun = kept


def _where(is_true: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns; several times as fast as NumPy's own in two dimensions."""
    rows, cols = np.divmod(np.flatnonzero(is_true), max(1, is_true.shape[1]))
    return rows, cols


def _in_percent(score: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Scores in whole percent, a few rows at a time: what lies between stays in the cache."""
    percent = np.empty(score.shape, dtype)
    for top in range(0, len(score), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        percent[rows] = np.rint(score[rows] * np.float32(100))
    return percent
