"""Tiles scored in padded batches: in smaller parts where memory is short, in float32 where numbers are not finite."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geofcs.breakdown import is_out_of_memory
from geofcs.errors import ComputeError
from geofcs.model.interface import Scores
from geofcs.reading import Pixels, ReadTile

Colour = tuple[float, float, float]


class Scorer(Protocol):
    """A model ready to score batches of tiles on one device."""

    device: torch.device
    mean_colours: tuple[Colour, Colour]

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Softmax scores of two batches (b, 3, tile, tile), float32 RGB 0-255, on `device`; they stay what they are."""
        ...

    def check(self) -> None:
        """Raise a `GeofcsError` where its weights are damaged, which may be known only some time after loading."""
        ...


class ScorerSource(Protocol, Hashable):
    """How a worker gets its scorer: small, picklable, hashable, so that a worker loads each model once."""

    def load(self) -> Scorer:
        """Load the model; raises a `GeofcsError`."""
        ...

    def in_float32(self) -> ScorerSource | None:
        """The same model in float32; None where this is it."""
        ...


class Scored(NamedTuple):
    """Scores of tiles by their slot, without those that failed; which slots needed float32; which failed in it too."""

    scores: dict[int, Scores]
    in_float32: frozenset[int]
    failed: frozenset[int]


NOTHING = Scored({}, frozenset(), frozenset())
"""Of a batch without a valid pixel."""

# What fitted into memory last, by model and batch: the blocks of a process share its device, and the next one need not
# run into the wall again.
_parts: dict[tuple[ScorerSource, int], int] = {}
_parts_lock = threading.Lock()

_here = threading.local()
"""Each thread's stream, by GPU: a stream keeps the memory that was used in it, so there are no more than threads."""


class BatchScorer:
    """A model for batches of `batch` tiles of `side` pixels; loading it may raise a `GeofcsError`."""

    def __init__(self, source: ScorerSource, batch: int, side: int) -> None:
        self._source, self._batch, self._side = source, batch, side
        self._scorer = source.load()
        self._takes_tiles_as_they_are = batch == 1 and self.device.type == "cpu"
        self._staged = [] if self._takes_tiles_as_they_are else [self._stage() for _date in range(2)]

    def _stage(self) -> Tensor:
        """Where batches of one date are put together: memory that a GPU fetches from while the CPU does other things.

        It is written to again only when the scores of what it held have been looked at.
        """
        shape = (self._batch, 3, self._side, self._side)
        return torch.empty(shape, pin_memory=self.device.type == "cuda")

    def stream(self) -> AbstractContextManager[object]:
        """On a GPU the calling thread's own stream: it copies and blends while the model works for another thread."""
        if self.device.type != "cuda":
            return nullcontext()
        streams = _here.__dict__.setdefault("streams", {})
        if self.device not in streams:
            streams[self.device] = torch.cuda.Stream(self.device)
        return torch.cuda.stream(streams[self.device])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._scorer.device

    @property
    def part(self) -> int:
        """Tiles per call of the model: the batch, or what of it has fitted into memory."""
        return _parts.get((self._source, self._batch), self._batch)

    def __call__(self, tiles: Mapping[int, ReadTile]) -> Scored:
        """Score tiles, each in its slot of a padded batch: always of the same size, so that the same kernels run.

        Raises `ComputeError` when not even one tile fits into memory.
        """
        dates = [self._padded(tiles, date).to(self.device, non_blocking=True) for date in range(2)]
        scores = self._in_parts(self._source, dates)
        broken = not_finite(scores, tiles)
        exact = self._source.in_float32() if broken else None
        if exact is None:
            return Scored({slot: at(scores, slot) for slot in tiles if slot not in broken}, frozenset(), broken)
        better = self._in_parts(exact, dates)
        failed = not_finite(better, broken)
        mended = broken - failed
        chosen = {slot: at(better if slot in mended else scores, slot) for slot in tiles if slot not in failed}
        return Scored(chosen, mended, failed)

    def _padded(self, tiles: Mapping[int, ReadTile], date: int) -> Tensor:
        """(batch, 3, side, side) of one date: every slot without a tile in the mean colour."""
        mean = self._scorer.mean_colours[date]
        if self._takes_tiles_as_they_are:
            (tile,) = tiles.values()
            return torch.from_numpy(squared((tile.t1, tile.t2)[date], tile.valid, mean, self._side)[None])
        padded = self._staged[date].numpy()
        for slot in range(self._batch):
            if slot in tiles:
                tile = tiles[slot]
                padded[slot] = squared((tile.t1, tile.t2)[date], tile.valid, mean, self._side)
            else:
                padded[slot] = np.asarray(mean, np.float32)[:, None, None]
        return self._staged[date]

    def _in_parts(self, source: ScorerSource, dates: list[Tensor]) -> Scores:
        """Scores of a whole batch, computed in parts of half the size for as long as there is too little memory."""
        scorer, key = source.load(), (source, self._batch)
        while True:
            part = _parts.get(key, self._batch)
            scores = _scores_if_they_fit(scorer, dates, part)
            if scores is not None:
                return scores
            if part == 1:
                raise ComputeError(
                    f"{scorer.device}: out of memory with one tile of {self._side} pixels: use a smaller --tile, or "
                    "fewer workers on this device"
                )
            with _parts_lock:
                _parts[key] = min(_parts.get(key, part), (part + 1) // 2)
            if scorer.device.type == "cuda":
                torch.cuda.empty_cache()


def _scores_if_they_fit(scorer: Scorer, dates: list[Tensor], part: int) -> Scores | None:
    """None when memory ran out; by then the exception, which holds on to tensors, is gone."""
    try:
        parts = [scorer(*each) for each in zip(*(date.split(part) for date in dates), strict=True)]
        return parts[0] if len(parts) == 1 else _joined(parts)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _joined(parts: list[Scores]) -> Scores:
    change, t1, t2 = ([layer for layer in layers if layer is not None] for layers in zip(*parts, strict=True))
    return Scores(torch.cat(change), torch.cat(t1) if t1 else None, torch.cat(t2) if t2 else None)


def not_finite(scores: Scores, slots: Collection[int]) -> frozenset[int]:
    """Which of the slots hold a score that is not finite.

    One sum per tile tells, for scores are probabilities, and of a softmax one layer, for where a logit is not finite no
    score of the pixel is. No other test reads as little as fast. (Flattened scores would be copied first where they are
    parts of something larger.)
    """
    layers = [scores.change, *(cover[:, 0] for cover in (scores.t1, scores.t2) if cover is not None)]
    total = sum(layer.sum((1, 2)) for layer in layers)
    broken = (~torch.as_tensor(total).isfinite()).nonzero().flatten().tolist()
    return frozenset(broken) & frozenset(slots)


def at(scores: Scores, slot: int) -> Scores:
    """The scores of one tile of a batch."""
    change, t1, t2 = scores
    return Scores(change[slot], None if t1 is None else t1[slot], None if t2 is None else t2[slot])


def squared(image: Pixels, valid: npt.NDArray[np.bool_], mean: Colour, side: int) -> Pixels:
    """(3, side, side): invalid pixels in the mean colour, and what is beyond the grid reflected from what is not."""
    filled = image if valid.all() else np.where(valid, image, np.asarray(mean, np.float32)[:, None, None])
    height, width = valid.shape
    if (height, width) == (side, side):
        return filled
    return np.pad(filled, ((0, 0), (0, side - height), (0, side - width)), mode="reflect")


def in_batches(
    tiles: Iterable[ReadTile], size: int, number: Callable[[ReadTile], int]
) -> Iterator[dict[int, ReadTile]]:
    """Tiles by their slot in a batch, in their order: a tile's number modulo the batch size.

    (A model may round differently at another place in a batch: the number must be the same in every run.) A batch ends
    where a slot is taken.
    """
    batch: dict[int, ReadTile] = {}
    for tile in tiles:
        slot = number(tile) % size
        if slot in batch:
            yield batch
            batch = {}
        batch[slot] = tile
    yield batch
