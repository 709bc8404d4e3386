"""From a set of pairs to batches: worker processes decode and cut, pinned memory carries, the device does the rest."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from geofcs.errors import ComputeError, GeofcsError, InputError
from geofcs.synthetic.noise import key_of
from geofcs.training.batches import Batch
from geofcs.training.data import Pairs, Sample
from geofcs.training.order import Draw, Order, Share

Item = TypeVar("Item")

WORKER_ENDED = "DataLoader worker"
"""What torch says of one that is gone."""

PREFETCH = 4
"""Batches that each worker keeps ready."""

SECONDS_TO_SAVE = 60
"""How long a worker outlives a termination that was sent to all of the run's processes."""

SMALLEST_CROP = 32


@dataclass(frozen=True)
class Cropped:
    """Pairs cut to squares of `size` pixels, at a place that the seed and the draw decide.

    An error becomes an answer, which `batches` raises in the main process: as one line, without a worker's traceback.
    """

    pairs: Pairs
    size: int
    seed: int

    def __getitem__(self, draw: Draw) -> Sample | GeofcsError:
        """The pair that a draw stands for, cut."""
        try:
            return self._cut(self.pairs[draw.pair], Random(key_of(self.seed, "crop", draw.place)))
        except GeofcsError as error:
            return error

    def _cut(self, sample: Sample, dice: Random) -> Sample:
        height, width = sample.change.shape
        if min(height, width) < self.size:
            fitting = min(height, width) // SMALLEST_CROP * SMALLEST_CROP
            cure = (
                f"say --set data.crop={fitting}"
                if fitting
                else f"the model takes {SMALLEST_CROP} and more: leave it out"
            )
            raise InputError(
                f"{sample.name}: has {height} x {width} pixels, fewer than the crop of {self.size}: {cure}"
            )
        row, col = dice.randint(0, height - self.size), dice.randint(0, width - self.size)
        window = (..., slice(row, row + self.size), slice(col, col + self.size))
        t1, t2, change, label1, label2 = (np.ascontiguousarray(each[window]) for each in arrays_of(sample))
        return Sample(t1, t2, change, label1, label2, sample.name)


@dataclass(frozen=True)
class Whole:
    """Pairs as they are, errors as answers likewise."""

    pairs: Pairs

    def __getitem__(self, index: int) -> Sample | GeofcsError:
        """The pair of that index."""
        try:
            return self.pairs[index]
        except GeofcsError as error:
            return error


def batches(
    pairs: Pairs, size: int, seed: int, share: Share, iteration: int, workers: int, *, pinned: bool
) -> Iterator[Batch]:
    """The batches of one process from an iteration on, without end, on the CPU.

    Raises what reading a pair raises, `InputError` where one is smaller than `size`.
    """
    if not len(pairs):
        raise InputError("there is no pair to train on")
    loader: DataLoader[Batch | GeofcsError] = DataLoader(
        Cropped(pairs, size, seed),  # type: ignore[arg-type]  # a draw is all that it is asked for
        batch_sampler=Order(len(pairs), seed, share, iteration),
        num_workers=workers,
        collate_fn=collated,
        pin_memory=pinned,
        generator=torch.Generator(),  # of its own: else it draws from the one that stochastic depth draws from
        prefetch_factor=PREFETCH if workers else None,
        multiprocessing_context=start_method() if workers else None,
        worker_init_fn=leave_signals_alone,
    )
    for batch in delivered(loader):
        if isinstance(batch, GeofcsError):
            raise batch
        yield batch


def delivered(loader: DataLoader[Item]) -> Iterator[Item]:
    """What a loader gives; a worker that was killed becomes a `ComputeError` that says what to change."""
    items = iter(loader)
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except RuntimeError as error:
            if WORKER_ENDED not in str(error):
                raise
            raise ComputeError(
                f"a process that reads pairs was ended ({str(error).splitlines()[0]}), mostly for want of memory: say "
                f"--set data.workers={loader.num_workers // 2}"
            ) from error
        yield item


def collated(samples: list[Sample | GeofcsError]) -> Batch | GeofcsError:
    """Samples of one size as a batch, or the first error among them."""
    read = without_errors(samples)
    return read if isinstance(read, GeofcsError) else batched(read)


def collated_by_size(samples: list[Sample | GeofcsError]) -> list[Batch] | GeofcsError:
    """Samples as batches of one size each, in their order, or the first error among them."""
    read = without_errors(samples)
    if isinstance(read, GeofcsError):
        return read
    return [batched(list(alike)) for _, alike in groupby(read, key=lambda sample: sample.change.shape)]


def without_errors(samples: Sequence[Sample | GeofcsError]) -> list[Sample] | GeofcsError:
    """The samples, or the first error among them."""
    read = []
    for each in samples:
        if isinstance(each, GeofcsError):
            return each
        read.append(each)
    return read


def batched(read: list[Sample]) -> Batch:
    """Samples of one size as a batch."""
    t1, t2, change, label1, label2 = (_stacked(arrays) for arrays in zip(*map(arrays_of, read), strict=True))
    return Batch(t1, t2, change, label1, label2, tuple(each.name for each in read))


def arrays_of(sample: Sample) -> tuple[npt.NDArray[np.uint8], ...]:
    """Everything but the name."""
    return sample.t1, sample.t2, sample.change, sample.label1, sample.label2


def _stacked(arrays: tuple[npt.NDArray[np.uint8], ...]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def start_method() -> str:
    """Not a fork of this process, whose threads and GPU a child could not use; a clean one where the system has it.

    Ctrl-C reaches every process of a terminal at once, a scheduler's termination every process of a job: the server,
    and so each child from its birth, is deaf to both. It ends with this process.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    if threading.current_thread() is threading.main_thread():  # others may not touch signals
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            multiprocessing.forkserver.ensure_running()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return "forkserver"


def leave_signals_alone(_worker: int) -> None:
    """In a worker: an interrupt is for the main process to answer, which still needs its pairs while it saves.

    A worker that nobody needs any more ends by itself; one that hangs, some time after its termination.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SECONDS_TO_SAVE))
