"""From a set of pairs to batches: worker processes decode and cut, pinned memory carries, the device does the rest."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from geofcs.errors import GeofcsError, InputError
from geofcs.synthetic.noise import key_of
from geofcs.training.batches import Batch
from geofcs.training.data import Pairs, Sample
from geofcs.training.order import Draw, Order, Share

PREFETCH = 4
"""Batches that each worker keeps ready."""


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
            raise InputError(
                f"{sample.name}: has {height} x {width} pixels, fewer than the crop: say --set data.crop="
                f"{min(height, width) // 32 * 32}"
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
    )
    for batch in loader:
        if isinstance(batch, GeofcsError):
            raise batch
        yield batch


def collated(samples: list[Sample | GeofcsError]) -> Batch | GeofcsError:
    """Samples of one size as a batch, or the first error among them."""
    read = []
    for each in samples:
        if isinstance(each, GeofcsError):
            return each
        read.append(each)
    if len({each.change.shape for each in read}) > 1:
        sizes = ", ".join(f"{each.name} {each.change.shape}" for each in read)
        return InputError(f"pairs of a batch differ in size ({sizes}): say --set validation.batch=1")
    t1, t2, change, label1, label2 = (_stacked(arrays) for arrays in zip(*map(arrays_of, read), strict=True))
    return Batch(t1, t2, change, label1, label2, tuple(each.name for each in read))


def arrays_of(sample: Sample) -> tuple[npt.NDArray[np.uint8], ...]:
    """Everything but the name."""
    return sample.t1, sample.t2, sample.change, sample.label1, sample.label2


def _stacked(arrays: tuple[npt.NDArray[np.uint8], ...]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def start_method() -> str:
    """Not a fork of this process, whose threads and GPU a child could not use; a clean one where the system has it."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
