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

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """Finished pixels, each (h, w): from-to codes, change score in percent, and land covers where changed (else 0)."""

    codes: npt.NDArray[Any]
    percent: npt.NDArray[Any]
    cover_t1: npt.NDArray[Any]
    cover_t2: npt.NDArray[Any]


class RowBlend:
    """Sums of softmax scores times tile shares, float32, for one tile row of a block at a time.

    Tiles must be added in lattice order (rows downward, columns rightward): then a pixel's sum is the same to the last
    bit in whichever block it is made. Product and sum are separate operations for the same reason: each is correctly
    rounded, where a fused one may or may not be used at the end of a row.
    """

    def __init__(self, lattice: Lattice, block: Block, scheme: ClassScheme, device: torch.device) -> None:
        self._lattice = lattice
        self._scheme = scheme
        self._first, self._stop = lattice.cols.owned(block.first_col, block.stop_col)
        layers = 1 + 2 * len(scheme.land_covers)
        self._sums = torch.zeros((layers, lattice.tile, self._stop - self._first), device=device)
        self._valid = np.zeros((lattice.tile, self._stop - self._first), np.bool_)
        self._row_shares = torch.from_numpy(lattice.rows.shares).to(device)
        self._col_shares = torch.from_numpy(lattice.cols.shares).to(device)

    def add_valid(self, col: int, valid: Mask) -> None:
        """Note which pixels of the tile in column `col` are valid; `valid` is (h, w), cut at the grid's end."""
        target, source = self._columns(col, valid.shape[1])
        self._valid[: valid.shape[0], target] = valid[:, source]

    def add_scores(self, row: int, col: int, scores: Scores) -> None:
        """Blend in the scores of one tile, batch axis dropped: change (tile, tile), t1 and t2 (K - 1, tile, tile)."""
        target, source = self._columns(col, self._lattice.tile)
        share = self._row_shares[row][:, None] * self._col_shares[col, source][None, :]
        first = 0
        for layer in (scores.change[None], scores.t1, scores.t2):
            if layer is not None:
                self._sums[first : first + len(layer), :, target] += layer[..., source] * share
                first += len(layer)

    def _columns(self, col: int, width: int) -> tuple[slice, slice]:
        """Where the first `width` columns of a tile lie in the row of accumulators, and which of them do."""
        start = self._lattice.cols.starts[col]
        left, right = max(start, self._first), min(start + width, self._stop)
        return slice(left - self._first, right - self._first), slice(left - start, right - start)

    def scores(self, height: int) -> Tensor:
        """Blended scores of the top `height` pixel rows, (1 + 2(K - 1), height, width): change, t1, t2."""
        return self._sums[:, :height]

    def finish(self, height: int, threshold: float) -> Labels:
        """Labels of the top `height` pixel rows, which no later tile touches, by the consistent variant (spec 5).

        Changed is a blended change score above `threshold`; the land covers are the highest blended scores among
        classes 1..K-1, looked at only where changed. Invalid pixels are nodata in every map.
        """
        score = self.scores(height)[0]
        valid = self._valid[:height]
        changed = (score > threshold).cpu().numpy() & valid
        dtype = self._scheme.code_dtype
        cover_t1, cover_t2 = self._covers(changed, dtype)
        codes = np.full(changed.shape, NO_CHANGE, dtype)
        codes[changed] = self._scheme.encode(cover_t1[changed], cover_t2[changed])
        percent = (score * 100).round_().cpu().numpy().astype(dtype)
        for layer, nodata in (
            (codes, self._scheme.nodata),
            (percent, PERCENT_NODATA),
            (cover_t1, 255),
            (cover_t2, 255),
        ):
            layer[~valid] = nodata
        return Labels(codes, percent, cover_t1, cover_t2)

    def _covers(self, changed: Mask, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        covers = len(self._scheme.land_covers)
        maps = np.zeros(changed.shape, dtype), np.zeros(changed.shape, dtype)
        if covers and changed.any():
            where = torch.from_numpy(changed).to(self._sums.device)
            scores = self.scores(len(changed))[1:, where].cpu().numpy()
            for cover, of_date in zip(maps, (scores[:covers], scores[covers:]), strict=True):
                cover[changed] = of_date.argmax(0) + 1
        return maps

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels: what lies below stays, the rest starts at zero."""
        if rows == 0:
            return
        rows = min(rows, self._lattice.tile)
        kept = self._lattice.tile - rows
        self._sums[:, :kept] = self._sums[:, rows:].clone()
        self._sums[:, kept:] = 0
        self._valid[:kept] = self._valid[rows:].copy()
        self._valid[kept:] = False
