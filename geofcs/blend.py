"""The row of tiles that a block blends at a time, and the labels of its strip once it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geofcs.classes import NO_CHANGE, PERCENT_NODATA, ClassScheme
from geofcs.covers import MOST_OVERLAP, BlendedScores, LookedUpScores, SummedScores
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


class RowBlend:
    """Blended scores of one tile row of a block at a time, and which of its pixels are valid.

    Tiles must be added in lattice order. On a CPU land covers are looked up where something changed, unless tiles
    overlap by much; a GPU, which would have to be waited for, sums all of them.
    """

    def __init__(
        self, lattice: Lattice, block: Block, scheme: ClassScheme, device: torch.device, threshold: float
    ) -> None:
        self._lattice = lattice
        self._scheme = scheme
        self._threshold = threshold
        self._first, self._stop = lattice.cols.owned(block.first_col, block.stop_col)
        self._scores = _scores(lattice, self._first, self._stop, scheme, device, threshold)
        self._valid = np.zeros((lattice.tile, self._stop - self._first), np.bool_)
        self._left_out = np.zeros_like(self._valid)

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
        self._scores.add(row, col, scores)

    def add_nothing(self, row: int, col: int) -> None:
        """Blend in zeros for a tile that was not scored, no pixel of it being valid."""
        self._scores.add_nothing(row, col)

    def _columns(self, col: int, width: int) -> tuple[slice, slice]:
        """Where the first `width` columns of a tile lie in the row that is blended, and which of them do."""
        start = self._lattice.cols.starts[col]
        left, right = max(start, self._first), min(start + width, self._stop)
        return slice(left - self._first, right - self._first), slice(left - start, right - start)

    def finish(self, height: int) -> Labels:
        """Labels of the top `height` pixel rows, which no later tile touches, by the consistent variant (spec 5).

        Changed is a blended change score above the threshold; the land covers are the highest blended scores among
        classes 1..K-1, looked at only where changed. Invalid pixels are nodata in every map.
        """
        score = self._scores.change(height)
        valid = self._valid[:height] & ~self._left_out[:height]
        changed = np.flatnonzero((score > self._threshold) & valid)
        dtype = self._scheme.code_dtype
        codes, cover_t1, cover_t2 = (np.full(valid.shape, NO_CHANGE, dtype) for _ in range(3))
        percent = _in_percent(score, dtype)
        if len(changed):
            before, after = self._scores.covers(changed)
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

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels: what lies below stays, for the next row of tiles to be added to."""
        self._scores.advance(rows)
        if rows == 0:
            return
        tile, kept = self._lattice.tile, max(0, self._lattice.tile - rows)
        for mask in (self._valid, self._left_out):
            mask[:kept] = mask[tile - kept :].copy()
            mask[kept:] = False


def _scores(
    lattice: Lattice, first: int, stop: int, scheme: ClassScheme, device: torch.device, threshold: float
) -> BlendedScores:
    overlaps_little = lattice.rows.overlap <= MOST_OVERLAP * lattice.tile
    if device.type == "cpu" and overlaps_little and not scheme.is_binary:
        return LookedUpScores(lattice, first, stop, len(scheme.land_covers), threshold)
    return SummedScores(lattice, first, stop, len(scheme.land_covers), device)


def _in_percent(score: npt.NDArray[np.float32], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Scores in whole percent, a few rows at a time: what lies between stays in the cache."""
    percent = np.empty(score.shape, dtype)
    for top in range(0, len(score), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        percent[rows] = np.rint(score[rows] * np.float32(100))
    return percent
