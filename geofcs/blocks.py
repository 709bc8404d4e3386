"""A block's task: stream down its tile rows, blend the tiles, and write each strip as soon as it is complete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from geofcs.batches import NOTHING, BatchScorer, Scored, ScorerSource, in_batches
from geofcs.blend import Labels, RowBlend
from geofcs.classes import PERCENT_NODATA, ClassScheme
from geofcs.errors import ComputeError
from geofcs.heap import give_back
from geofcs.oddities import Oddities, Place
from geofcs.reading import Pair, ReadTile, prefetched, read_tiles
from geofcs.strips import Strip, has_sound_strip, remark_of, strips_of, write_strip
from geofcs.tiles import Block, Lattice

READ_AHEAD = 2
"""Batches read while the model works on one."""


class Watch(Protocol):
    """Is told how a block gets on, and may raise to end it: the strips that are written stay."""

    def tiles_done(self, count: int) -> None:
        """Some tiles were dealt with."""
        ...

    def strip_done(self) -> None:
        """A strip was written."""
        ...


@dataclass(frozen=True)
class BlockJob:
    """What every block of a run needs to know; everything in it can be pickled.

    `failed_become_nodata` says what happens to tiles whose scores are not finite, in float32 either: nodata, or the
    end of the run.
    """

    pair: Pair
    lattice: Lattice
    scheme: ClassScheme
    scorer: ScorerSource
    batch: int
    threads: int
    threshold: float
    landcover: bool
    strips: Path
    failed_become_nodata: bool = False

    @property
    def bands(self) -> int:
        """Bands of a strip: codes and percent, with land cover both dates' classes as well."""
        return 4 if self.landcover else 2

    def place(self, row: int, col: int) -> Place:
        """Where a tile of the lattice begins, in pixels."""
        return self.lattice.rows.starts[row], self.lattice.cols.starts[col]

    def missing(self, block: Block) -> dict[int, Strip]:
        """The strips of a block, by tile row, that are to be written; those with failed tiles may be among them."""
        return {strip.row: strip for strip in strips_of(self.lattice, block) if not self._keeps(strip)}

    def written(self, block: Block) -> int:
        """How many strips of a block are there, sound or not."""
        return sum((self.strips / strip.name).exists() for strip in strips_of(self.lattice, block))

    def _keeps(self, strip: Strip) -> bool:
        if not has_sound_strip(self.strips, strip, self.bands, self.scheme.code_dtype):
            return False
        return self.failed_become_nodata or not self.oddities(strip).failed

    def oddities(self, strip: Strip) -> Oddities:
        """What is odd about a strip that is there."""
        return Oddities.in_remark(remark_of(self.strips, strip))


@dataclass(frozen=True)
class BlockCounts:
    """What a block did: strips that were there already, tiles the model saw, tiles without a valid pixel."""

    strips_kept: int
    strips_written: int
    tiles_scored: int
    tiles_empty: int

    @staticmethod
    def total(counts: Iterable[BlockCounts]) -> BlockCounts:
        """The sums over several blocks."""
        sums = [sum(column) for column in zip(*map(astuple, counts), strict=True)]
        return BlockCounts(*sums)


def run_block(job: BlockJob, block: Block, watch: Watch) -> BlockCounts:
    """Write the strips of `block` that are not there yet.

    Raises `SourceError` when a scene cannot be read, `ComputeError` when the model fails, `OutputError` when a strip
    cannot be written. Whatever was interrupted before is taken up at the first missing strip.
    """
    torch.set_num_threads(job.threads)
    missing = job.missing(block)
    rows = _rows_needed(job.lattice, missing)
    cols = range(job.lattice.first_col_needed(block), block.stop_col)
    tiles = len(rows) * len(cols)
    watch.tiles_done(job.lattice.tiles_to_compute(block) - tiles)
    try:
        scored = _streamed(job, block, watch, rows, cols, missing) if missing else 0
    finally:
        give_back()
    kept = block.stop_row - block.first_row - len(missing)
    return BlockCounts(kept, len(missing), scored, tiles - scored)


def _rows_needed(lattice: Lattice, missing: Collection[int]) -> list[int]:
    """The tile rows that reach into the missing strips."""
    rows: set[int] = set()
    for row in missing:
        rows.update(range(_first_row_in(lattice, row), row + 1))
    return sorted(rows)


def _first_row_in(lattice: Lattice, row: int) -> int:
    """The first tile row that reaches into the strip of tile row `row`."""
    return lattice.rows.first_touching(lattice.rows.starts[row])


def _streamed(
    job: BlockJob, block: Block, watch: Watch, rows: list[int], cols: range, missing: Mapping[int, Strip]
) -> int:
    with prefetched(read_tiles(job.pair, job.lattice, rows, cols), READ_AHEAD * job.batch) as tiles:
        scorer = BatchScorer(job.scorer, job.batch, job.lattice.tile)  # loads the model, while tiles are read
        with scorer.stream():
            return _Stream(job, block, watch, scorer).run_down(tiles, rows[0], cols, missing)


class _Stream:
    """One pass down a block."""

    def __init__(self, job: BlockJob, block: Block, watch: Watch, scorer: BatchScorer) -> None:
        self._job, self._watch, self._scorer = job, watch, scorer
        self._blend = RowBlend(job.lattice, block, job.scheme, scorer.device, job.threshold)
        self._failed: set[tuple[int, int]] = set()
        self._in_float32: set[tuple[int, int]] = set()

    def run_down(self, tiles: Iterable[ReadTile], first_row: int, cols: range, missing: Mapping[int, Strip]) -> int:
        """Score tiles, rows of all of `cols` from `first_row` on, and write the missing strips.

        Returns how many tiles the model saw. Batches go on across the ends of rows, which are rarely a multiple of
        them. A tile's slot follows from its row and from the columns of its block, which the lattice alone decides.
        """
        job, scored, at_row = self._job, 0, first_row
        for batch in in_batches(tiles, job.batch, lambda tile: tile.row * len(cols) + tile.col - cols.start):
            filled = {slot: tile for slot, tile in batch.items() if tile.valid.any()}
            result = self._scorer(filled) if filled else NOTHING
            for slot, tile in batch.items():
                if tile.row != at_row:
                    self._end_row(at_row, missing)
                    self._blend.advance(job.lattice.rows.starts[tile.row] - job.lattice.rows.starts[at_row])
                    at_row = tile.row
                self._add(tile, slot, result)
            scored += len(filled)
            self._watch.tiles_done(len(batch))
        self._end_row(at_row, missing)
        return scored

    def _end_row(self, row: int, missing: Mapping[int, Strip]) -> None:
        """Write the strip of a row whose tiles are all blended in, if it is missing."""
        if row in missing:
            self._write(missing[row])
            self._watch.strip_done()

    def _add(self, tile: ReadTile, slot: int, scored: Scored) -> None:
        """Blend a tile of a scored batch in."""
        self._blend.add_valid(tile.col, tile.valid)
        if slot in scored.failed:
            self._fail(tile)
        if slot in scored.scores:
            self._blend.add_scores(tile.row, tile.col, scored.scores[slot])
        else:
            self._blend.add_nothing(tile.row, tile.col)
        if slot in scored.in_float32:
            self._in_float32.add((tile.row, tile.col))

    def _fail(self, tile: ReadTile) -> None:
        if not self._job.failed_become_nodata:
            row, col = self._job.place(tile.row, tile.col)
            raise ComputeError(
                f"the model gave numbers that are not finite, in float32 too, for the tile at row {row}, column {col} "
                "of the grid: look at the scenes there; --on-tile-error nodata leaves such tiles out"
            )
        self._blend.leave_out(tile.col)
        self._failed.add((tile.row, tile.col))

    def _write(self, strip: Strip) -> None:
        job = self._job
        labels = self._blend.finish(strip.height)
        write_strip(job.strips, strip, _layers(labels, job.landcover), self._oddities(strip).remark)

    def _oddities(self, strip: Strip) -> Oddities:
        """What is odd about the tiles that reach into a strip."""
        first = _first_row_in(self._job.lattice, strip.row)
        failed, in_float32 = (
            frozenset(self._job.place(row, col) for row, col in tiles if row >= first)
            for tiles in (self._failed, self._in_float32)
        )
        part = self._scorer.part
        return Oddities(failed, in_float32, part if part < self._job.batch else None)


def _layers(labels: Labels, landcover: bool) -> npt.NDArray[Any]:
    """The bands of a strip, in the order the rasters are made of them."""
    bands = [labels.codes, labels.percent]
    if landcover:
        bands += [labels.cover_t1, labels.cover_t2]
    return np.stack(bands)


def give_up(job: BlockJob, block: Block) -> BlockCounts:
    """Make nodata of what is missing of a block that cannot be computed, and say so in the strips.

    Raises `OutputError` when a strip cannot be written.
    """
    missing = job.missing(block)
    cols = range(block.first_col, block.stop_col)
    nodata = [job.scheme.nodata, PERCENT_NODATA, 255, 255][: job.bands]
    for strip in missing.values():
        failed = frozenset(job.place(strip.row, col) for col in cols)
        layers = np.empty((job.bands, strip.height, strip.width), job.scheme.code_dtype)
        layers[:] = np.array(nodata, job.scheme.code_dtype)[:, None, None]
        write_strip(job.strips, strip, layers, Oddities(failed).remark)
    return BlockCounts(block.stop_row - block.first_row - len(missing), len(missing), 0, 0)


def oddities_of(job: BlockJob, blocks: Iterable[Block]) -> Oddities:
    """What is odd about all strips of some blocks, whichever run wrote them."""
    return Oddities.together(job.oddities(strip) for block in blocks for strip in strips_of(job.lattice, block))
