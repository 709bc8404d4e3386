"""A block's task: stream down its tile rows, blend the tiles, and write each strip as soon as it is complete."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window
from torch import Tensor

from geofcs.blend import Labels, RowBlend
from geofcs.classes import ClassScheme
from geofcs.errors import ComputeError
from geofcs.grid import Grid
from geofcs.model.interface import Scores
from geofcs.scene import PairPixels
from geofcs.strips import Strip, has_sound_strip, strips_of, write_strip
from geofcs.tiles import Block, Lattice

READ_AHEAD = 2
"""Batches read while the model works on one."""

_END = object()

Item = TypeVar("Item")
Pixels = npt.NDArray[np.float32]
Colour = tuple[float, float, float]


class Scorer(Protocol):
    """A model ready to score batches of tiles on one device."""

    device: torch.device
    mean_colours: tuple[Colour, Colour]

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Softmax scores of two batches (b, 3, tile, tile), float32 RGB 0-255, on `device`."""
        ...


class ScorerSource(Protocol, Hashable):
    """How a worker gets its scorer: small, picklable, hashable, so that a worker loads each model once."""

    def load(self) -> Scorer:
        """Load the model; raises a `GeofcsError`."""
        ...


class Reader(Protocol):
    """Both dates' pixels by window, for one thread."""

    def read(self, window: Window) -> PairPixels:
        """The pixels of a window of the grid."""
        ...


class Pair(Protocol):
    """Two scenes on one grid, as `geofcs.scene.ScenePair`."""

    @property
    def grid(self) -> Grid:
        """The grid that windows refer to."""
        ...

    def open(self) -> AbstractContextManager[Reader]:
        """A reader for the calling thread."""
        ...


@dataclass(frozen=True)
class BlockJob:
    """What every block of a run needs to know; everything in it can be pickled."""

    pair: Pair
    lattice: Lattice
    scheme: ClassScheme
    scorer: ScorerSource
    batch: int
    threads: int
    threshold: float
    landcover: bool
    strips: Path

    @property
    def bands(self) -> int:
        """Bands of a strip: codes and percent, with land cover both dates' classes as well."""
        return 4 if self.landcover else 2


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


@dataclass(frozen=True)
class ReadTile:
    """One tile's pixels inside the grid: (3, h, w) per date, and which of them are valid, (h, w)."""

    row: int
    col: int
    t1: Pixels
    t2: Pixels
    valid: npt.NDArray[np.bool_]


def run_block(job: BlockJob, block: Block, progress: Callable[[int], None]) -> BlockCounts:
    """Write the strips of `block` that are not there yet; `progress` is told of tiles done.

    Raises `SourceError` when a scene cannot be read, `ComputeError` when the model fails, `OutputError` when a strip
    cannot be written. Whatever was interrupted before is taken up at the first missing strip.
    """
    torch.set_num_threads(job.threads)
    strips = strips_of(job.lattice, block)
    missing = {
        strip.row: strip for strip in strips if not has_sound_strip(job.strips, strip, job.bands, job.scheme.code_dtype)
    }
    rows = _rows_needed(job.lattice, missing)
    cols = range(job.lattice.first_col_needed(block), block.stop_col)
    progress(job.lattice.tiles_to_compute(block) - len(rows) * len(cols))
    scored = _stream_down(job, block, rows, cols, missing, progress) if missing else 0
    return BlockCounts(len(strips) - len(missing), len(missing), scored, len(rows) * len(cols) - scored)


def _rows_needed(lattice: Lattice, missing: Collection[int]) -> list[int]:
    """The tile rows that reach into the missing strips."""
    rows: set[int] = set()
    for row in missing:
        rows.update(range(lattice.rows.first_touching(lattice.rows.starts[row]), row + 1))
    return sorted(rows)


def _stream_down(
    job: BlockJob,
    block: Block,
    rows: list[int],
    cols: range,
    missing: Mapping[int, Strip],
    progress: Callable[[int], None],
) -> int:
    """Score the tiles of `rows` x `cols` and write the missing strips; returns how many tiles the model saw."""
    scorer = job.scorer.load()
    blend = RowBlend(job.lattice, block, job.scheme, scorer.device)
    starts = job.lattice.rows.starts
    scored, at_row = 0, rows[0]
    with prefetched(_read_tiles(job, rows, cols), READ_AHEAD * job.batch) as tiles:
        for row, tiles_of_row in itertools.groupby(tiles, key=lambda tile: tile.row):
            blend.advance(starts[row] - starts[at_row])
            at_row = row
            for batch in _batches(tiles_of_row, job.batch):
                scored += _blend_batch(blend, batch, scorer, job)
                progress(len(batch))
            if row in missing:
                labels = blend.finish(missing[row].height, job.threshold)
                write_strip(job.strips, missing[row], _layers(labels, job.landcover))
    return scored


def _read_tiles(job: BlockJob, rows: Iterable[int], cols: Iterable[int]) -> Generator[ReadTile]:
    """The tiles in lattice order, read with handles that belong to the thread that runs this generator."""
    lattice, tile = job.lattice, job.lattice.tile
    with job.pair.open() as reader:
        for row, col in itertools.product(rows, cols):
            top, left = lattice.rows.starts[row], lattice.cols.starts[col]
            height = min(tile, lattice.rows.length - top)
            width = min(tile, lattice.cols.length - left)
            pixels = reader.read(Window(left, top, width, height))
            yield ReadTile(row, col, pixels.t1, pixels.t2, pixels.valid)


@contextmanager
def prefetched(items: Generator[Item], ahead: int) -> Iterator[Iterator[Item]]:
    """The items of a generator that runs in one thread of its own, up to `ahead` items early.

    A context manager, so that the generator is closed, in its thread, when the block ends, and not whenever the garbage
    collector comes by.
    """
    with ThreadPoolExecutor(1, "geofcs-read") as thread:
        pending = deque(thread.submit(next, items, _END) for _ in range(ahead))
        try:
            yield _drained(pending, lambda: thread.submit(next, items, _END))
        finally:
            for future in pending:
                future.cancel()
            thread.submit(items.close).result()


def _drained(pending: deque[Future[Any]], submit_next: Callable[[], Future[Any]]) -> Iterator[Any]:
    while (item := pending.popleft().result()) is not _END:
        pending.append(submit_next())
        yield item


def _batches(tiles: Iterable[ReadTile], size: int) -> Iterator[dict[int, ReadTile]]:
    """Tiles by their slot in a batch: the column modulo the batch size, so that a tile has the same slot in any block.

    (A model may round differently at another place in a batch.) A batch ends where a slot is taken.
    """
    batch: dict[int, ReadTile] = {}
    for tile in tiles:
        if tile.col % size in batch:
            yield batch
            batch = {}
        batch[tile.col % size] = tile
    yield batch


def _blend_batch(blend: RowBlend, batch: Mapping[int, ReadTile], scorer: Scorer, job: BlockJob) -> int:
    """Blend a batch in; tiles without a valid pixel are not scored. Returns how many were."""
    for tile in batch.values():
        blend.add_valid(tile.col, tile.valid)
    filled = {slot: tile for slot, tile in batch.items() if tile.valid.any()}
    scores = _scored(filled, scorer, job) if filled else None
    for slot, tile in batch.items():
        if scores is None or slot not in filled:
            blend.add_nothing(tile.col)
        else:
            blend.add_scores(tile.row, tile.col, _at(scores, slot))
    return len(filled)


def _scored(tiles: Mapping[int, ReadTile], scorer: Scorer, job: BlockJob) -> Scores:
    """The scores of a padded batch: always of the same size, so that the same kernels run."""
    side = job.lattice.tile
    dates = []
    for date, mean in enumerate(scorer.mean_colours):
        images = np.empty((job.batch, 3, side, side), np.float32)
        images[:] = np.asarray(mean, np.float32)[:, None, None]
        for slot, tile in tiles.items():
            images[slot] = _square((tile.t1, tile.t2)[date], tile.valid, mean, side)
        dates.append(torch.from_numpy(images).to(scorer.device))
    try:
        scores = scorer(*dates)
    except torch.OutOfMemoryError as error:
        raise ComputeError(
            f"{scorer.device}: out of memory with {job.batch} tiles of {side} pixels: use a smaller --batch or --tile"
        ) from error
    _check_finite(scores, tiles, job.lattice)
    return scores


def _square(image: Pixels, valid: npt.NDArray[np.bool_], mean: Colour, side: int) -> Pixels:
    """(3, side, side): invalid pixels in the mean colour, and what is beyond the grid reflected from what is not."""
    filled = np.where(valid, image, np.asarray(mean, np.float32)[:, None, None])
    height, width = valid.shape
    if (height, width) == (side, side):
        return filled
    return np.pad(filled, ((0, 0), (0, side - height), (0, side - width)), mode="reflect")


def _check_finite(scores: Scores, tiles: Mapping[int, ReadTile], lattice: Lattice) -> None:
    """A sum of probabilities is finite if all of them are, and no other test reads them as fast."""
    for slot, tile in tiles.items():
        if not all(math.isfinite(layer.sum()) for layer in _at(scores, slot) if layer is not None):
            top, left = lattice.rows.starts[tile.row], lattice.cols.starts[tile.col]
            raise ComputeError(
                f"the model gave numbers that are not finite for the tile at row {top}, column {left} "
                f"of the grid: try --precision fp32, and if that was it, other weights"
            )


def _at(scores: Scores, slot: int) -> Scores:
    """The scores of one tile of a batch."""
    change, t1, t2 = scores
    return Scores(change[slot], None if t1 is None else t1[slot], None if t2 is None else t2[slot])


def _layers(labels: Labels, landcover: bool) -> npt.NDArray[Any]:
    """The bands of a strip, in the order the rasters are made of them."""
    bands = [labels.codes, labels.percent]
    if landcover:
        bands += [labels.cover_t1, labels.cover_t2]
    return np.stack(bands)
