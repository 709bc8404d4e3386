"""Pairs of a dataset in batches of one size, read ahead by threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geofcs.classes import ClassScheme
from geofcs.training.data import Pairs, Sample
from geofcs.training.losses import Labels

MOST_THREADS = 8


class Batch(NamedTuple):
    """Samples of one size."""

    samples: list[Sample]

    def stacked(self, part: int) -> Tensor:
        """One part of each, (b, ...)."""
        return torch.from_numpy(np.stack([np.asarray(sample[part]) for sample in self.samples]))

    def labels(self, scheme: ClassScheme) -> Labels:
        """The truth, in the scheme that is compared in."""
        if scheme.is_binary:
            return Labels(self.stacked(2), None, None)
        return Labels(self.stacked(2), self.stacked(3), self.stacked(4))


def batches(pairs: Pairs, size: int) -> Iterator[Batch]:
    """Pairs in order, in batches of one image size; a few are read ahead."""
    waiting: list[Sample] = []
    with _read_ahead(pairs, 2 * size) as samples:
        for sample in samples:
            if waiting and (len(waiting) == size or waiting[0].t1.shape != sample.t1.shape):
                yield Batch(waiting)
                waiting = []
            waiting.append(sample)
    if waiting:
        yield Batch(waiting)


@contextmanager
def _read_ahead(pairs: Pairs, ahead: int) -> Iterator[Iterator[Sample]]:
    """The pairs, decoded in threads of their own."""
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with ThreadPoolExecutor(threads, "geofcs-read") as pool:
        pending: deque[Future[Sample]] = deque()
        try:
            yield _drained(pairs, pool, pending, max(ahead, 2 * threads))
        finally:
            for future in pending:
                future.cancel()


def _drained(pairs: Pairs, pool: ThreadPoolExecutor, pending: deque[Future[Sample]], ahead: int) -> Iterator[Sample]:
    for index in range(len(pairs)):
        pending.append(pool.submit(pairs.__getitem__, index))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
