"""Blended scores: change of every pixel, land covers of those that changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from geofcs.model.interface import Scores
from geofcs.sums import RowSums
from geofcs.tiles import Lattice

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]


MOST_OVERLAP = 1 / 4
"""Of a tile, up to which land covers are looked up: with more, more rows would have a say, and need more memory."""


class BlendedScores(Protocol):
    """Scores of a row of tiles, which are added in lattice order, and then of the next."""

    def add(self, row: int, col: int, scores: Scores) -> None:
        """Blend in the scores of one tile, batch axis dropped: change (tile, tile), t1 and t2 (K - 1, tile, tile)."""
        ...

    def add_nothing(self, row: int, col: int) -> None:
        """Blend in zeros for a tile that was not scored."""
        ...

    def change(self, height: int) -> Floats:
        """Change scores of the first pixel rows, (height, width); they mean nothing where no tile was added."""
        ...

    def covers(self, changed: Indices) -> npt.NDArray[np.uint8]:
        """Land covers (2, n) at both dates of changed pixels of a strip, by flat indices: the highest among 1..K-1."""
        ...

    def advance(self, rows: int) -> None:
        """Move down by `rows` pixels."""
        ...


class SummedScores:
    """All layers are summed everywhere, so that a GPU never has to be waited for.

    Those of a tile are joined first: three times as few kernels are launched.
    """

    def __init__(self, lattice: Lattice, first: int, stop: int, covers: int, device: torch.device) -> None:
        self._land_covers = covers
        self._sums = RowSums(lattice, first, stop, 1 + 2 * covers, device)

    def add(self, row: int, col: int, scores: Scores) -> None:
        """Blend in the scores of one tile."""
        layers = [scores.change[None], *(layer for layer in (scores.t1, scores.t2) if layer is not None)]
        self._sums.add(row, col, torch.cat(layers))

    def add_nothing(self, _row: int, col: int) -> None:
        """Blend in zeros."""
        self._sums.add_nothing(col)

    def change(self, height: int) -> Floats:
        """Change scores of the first pixel rows."""
        return np.asarray(self._sums.top(height)[0].cpu().numpy())

    def covers(self, changed: Indices) -> npt.NDArray[np.uint8]:
        """The highest of the sums; 0 in a binary scheme."""
        if not self._land_covers:
            return np.zeros((2, len(changed)), np.uint8)
        every = self._sums.top(self._sums.height)[1:].flatten(1)
        scores = every.index_select(1, torch.from_numpy(changed).to(every.device)).cpu().numpy()
        return np.stack([_highest(scores[: self._land_covers]), _highest(scores[self._land_covers :])])

    def advance(self, rows: int) -> None:
        """Move down."""
        self._sums.advance(rows)


class LookedUpScores:
    """Change is summed everywhere, land covers only where something changed, as soon as no other tile reaches there.

    Where little has changed most scores are never read. The sums are those of `SummedScores` to the last bit. For tiles
    that overlap by `MOST_OVERLAP` of their side at most.
    """

    def __init__(self, lattice: Lattice, first: int, stop: int, covers: int, threshold: float) -> None:
        assert lattice.rows.overlap <= MOST_OVERLAP * lattice.tile, "two rows at most have a say in one below"
        self._lattice = lattice
        self._first, self._width = first, stop - first
        self._threshold = threshold
        self._change = RowSums(lattice, first, stop, 1, torch.device("cpu"))
        self._covers = np.zeros((2, lattice.tile, self._width), np.uint8)
        self._room = _Room(lattice, first, stop, covers)
        self._above: list[_Part] = []
        """What tiles of rows above say of this one, in lattice order."""
        self._here: list[_Part] = []
        """Tiles of this row that later ones of it meet."""
        self._below: list[_Part] = []
        """What the others of this row say of the next one."""

    def add(self, row: int, col: int, scores: Scores) -> None:
        """Blend in the scores of one tile, which are kept until no later tile meets it."""
        self._change.add(row, col, scores.change[None])
        covers = tuple(layer.numpy() for layer in (scores.t1, scores.t2) if layer is not None)
        shares = self._lattice.rows.shares[row], self._lattice.cols.shares[col]
        self._here.append(_Part(0, self._lattice.cols.starts[col] - self._first, col, covers, *shares))
        self._complete(row, col)

    def add_nothing(self, row: int, col: int) -> None:
        """Blend in zeros."""
        self._change.add_nothing(col)
        self._complete(row, col)

    def change(self, height: int) -> Floats:
        """Change scores of the first pixel rows."""
        return np.asarray(self._change.top(height)[0].numpy())

    def covers(self, changed: Indices) -> npt.NDArray[np.uint8]:
        """What was looked up."""
        return self._covers.reshape(2, -1)[:, changed]

    def advance(self, rows: int) -> None:
        """Move down; what says nothing of the next row is forgotten."""
        self._change.advance(rows)
        moved = (replace(part, top=part.top - rows) for part in (*self._above, *self._below))
        self._above, self._below = [part for part in moved if part.bottom > 0], []

    def _complete(self, row: int, col: int) -> None:
        """Look up what a tile was the last to reach: its own columns of the strip."""
        top, bottom = self._lattice.rows.owned(row, row + 1)
        owned = self._lattice.cols.owned(col, col + 1)
        left, right = (min(max(each - self._first, 0), self._width) for each in owned)
        self._look_up(slice(0, bottom - top), slice(left, right))
        is_over = [part.right <= right or right == self._width for part in self._here]
        if row + 1 < self._lattice.rows.count:
            self._below += [
                self._room.below(part, row, bottom - top) for part in itertools.compress(self._here, is_over)
            ]
        self._here = [part for part, over in zip(self._here, is_over, strict=True) if not over]

    def _look_up(self, rows: slice, cols: slice) -> None:
        parts = [part for part in (*self._above, *self._here) if part.meets(rows, cols)]
        change = self._change.top(rows.stop)[0].numpy()
        for top, left, bottom, right in _with_the_same(parts, rows, cols):
            down, along = _where(change[top:bottom, left:right] > self._threshold)
            if len(down) == 0:
                continue
            reaching = [part for part in parts if part.meets(slice(top, bottom), slice(left, right))]
            for date, covers in enumerate(self._covers):
                scores = reduce(np.add, (part.products(date, down + top, along + left) for part in reaching))
                covers[top:bottom, left:right][down, along] = _highest(scores)


@dataclass(frozen=True)
class _Part:
    """A tile, or the rows of it that are kept: land covers' scores at both dates, each (K - 1, h, w), and its shares of
    rows (h) and columns (w); `top` and `left` in the row of accumulators.
    """

    top: int
    left: int
    col: int
    scores: tuple[Floats, ...]
    row_shares: Floats
    col_shares: Floats

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.top + len(self.row_shares)

    @property
    def right(self) -> int:
        """The first column to the right."""
        return self.left + len(self.col_shares)

    def meets(self, rows: slice, cols: slice) -> bool:
        """Whether it has pixels there."""
        return bool(
            self.top < rows.stop and self.bottom > rows.start and self.left < cols.stop and self.right > cols.start
        )

    def products(self, date: int, rows: Indices, cols: Indices) -> Floats:
        """Scores times shares (K - 1, n) of some pixels of it."""
        rows, cols = rows - self.top, cols - self.left
        return self.scores[date][:, rows, cols] * (self.row_shares[rows] * self.col_shares[cols])


class _Room:
    """Memory for the rows of tiles that the next row of tiles meets.

    All of it is taken at once, for the last row too, which moves inward and may meet nearly all of the one above: what
    a block will need at its end it has from its beginning. Rows of tiles use its two ends in turn.
    """

    def __init__(self, lattice: Lattice, first: int, stop: int, covers: int) -> None:
        starts = lattice.cols.starts
        meeting = [col for col, start in enumerate(starts) if start < stop and start + lattice.tile > first]
        kept = [0, *(lattice.tile - (below - above) for above, below in itertools.pairwise(lattice.rows.starts))]
        rows = max(map(sum, itertools.pairwise([0, *kept])))
        self._first_col = meeting[0]
        self._memory = np.full((len(meeting), 2, covers, rows, lattice.tile), 0, np.float32)

    def below(self, part: _Part, row: int, height: int) -> _Part:
        """A copy of the rows of a tile in row `row` that lie below its own strip of that height."""
        count = part.bottom - height
        room = self._memory[part.col - self._first_col]
        room = room[:, :, :count] if row % 2 == 0 else room[:, :, room.shape[2] - count :]
        for layers, scores in zip(room, part.scores, strict=True):
            layers[:] = scores[:, height:]
        return _Part(height, part.left, part.col, tuple(room), part.row_shares[height:], part.col_shares)


def _with_the_same(parts: Sequence[_Part], rows: slice, cols: slice) -> Iterator[tuple[int, int, int, int]]:
    """Rectangles (top, left, bottom, right) that make up some rows and columns: parts have all of one or none of it."""
    downward = _cuts(rows, (edge for part in parts for edge in (part.top, part.bottom)))
    along = _cuts(cols, (edge for part in parts for edge in (part.left, part.right)))
    for (top, bottom), (left, right) in itertools.product(itertools.pairwise(downward), itertools.pairwise(along)):
        yield top, left, bottom, right


def _cuts(whole: slice, edges: Iterable[int]) -> list[int]:
    return sorted({whole.start, whole.stop, *(edge for edge in edges if whole.start < edge < whole.stop)})


def _highest(scores: Floats) -> npt.NDArray[np.uint8]:
    """Which of the land covers 1..K-1 (n) has the highest of some scores (K - 1, n)."""
    return np.asarray(scores.argmax(0) + 1, np.uint8)


def _where(is_true: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Rows and columns; several times as fast as NumPy's own in two dimensions."""
    rows, cols = np.divmod(np.flatnonzero(is_true), max(1, is_true.shape[1]))
    return rows, cols
