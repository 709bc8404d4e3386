"""The model judged on held-out pairs while it trains, and a strip of pictures of what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import DataLoader

from geofcs.classes import ClassScheme
from geofcs.errors import GeofcsError
from geofcs.model.maps import Maps, maps_of
from geofcs.training.batches import Batch
from geofcs.training.data import Pairs
from geofcs.training.job import Job
from geofcs.training.loading import Whole, batched, collated_by_size, delivered, leave_signals_alone, start_method
from geofcs.training.metrics import ChangeMetrics
from geofcs.training.processes import agreed
from geofcs.training.quality import Quality
from geofcs.training.step import labels_of

WHITE = (255, 255, 255)

GAP, GREY = 4, 128
"""Pixels between two pictures, and their grey."""


class Validation:
    """Held-out pairs, whole, whose readers stay alive between one judgement and the next."""

    def __init__(self, pairs: Pairs, job: Job) -> None:
        config = job.config.validation
        count = len(pairs) if config.pairs is None else min(config.pairs, len(pairs))
        self.pairs = count
        workers = min(job.config.data.workers, -(-count // config.batch))
        self._job, self._set = job, pairs
        self._loader: DataLoader[list[Batch] | GeofcsError] = DataLoader(
            Whole(pairs),  # type: ignore[arg-type]  # an index is all that it is asked for
            batch_size=config.batch,
            sampler=range(job.share.rank, count, job.share.ranks),
            num_workers=workers,
            collate_fn=collated_by_size,
            pin_memory=job.device.type == "cuda",
            persistent_workers=workers > 0,
            generator=torch.Generator(),
            multiprocessing_context=start_method() if workers else None,
            worker_init_fn=leave_signals_alone,
        )

    def quality(self) -> Quality:
        """The numbers, of all processes' pairs together."""
        metrics = ChangeMetrics(self._job.classes.count).to(self._job.device)
        _share_statistics(self._job)
        with _judging(self._job):
            agreed(partial(self._count, metrics))
        return metrics.quality()

    def pictures(self, count: int) -> Tensor:
        """(3, rows, columns) uint8 of pairs all over the set, one a row: T1, T2, truth and prediction of either date.

        Pairs of another size than the first are passed over.
        """
        rows: list[Tensor] = []
        with _judging(self._job):
            for number in range(min(count, self.pairs)):
                batch = batched([self._set[number * self.pairs // min(count, self.pairs)]]).to(self._job.device)
                rows.append(_row(batch, self._maps(batch), self._job.classes))
        return _beside([row for row in rows if row.shape == rows[0].shape], 1)

    def _count(self, metrics: ChangeMetrics) -> None:
        """Add this process's pairs."""
        for batch in self._batches():
            metrics.update(self._maps(batch), labels_of(batch, self._job.classes.is_binary))

    def _batches(self) -> Iterator[Batch]:
        for batches in delivered(self._loader):
            if isinstance(batches, GeofcsError):
                raise batches
            yield from (batch.to(self._job.device) for batch in batches)

    def _maps(self, batch: Batch) -> Maps:
        with self._job.fabric.autocast():
            return maps_of(self._job.judged(batch.t1.float(), batch.t2.float()))


def _share_statistics(job: Job) -> None:
    """Give all processes the leader's statistics of batch norms, which on a CPU each has taken of its own pairs."""
    if job.share.ranks > 1:
        for buffer in job.judged.buffers():
            torch.distributed.broadcast(buffer, 0)


@contextmanager
def _judging(job: Job) -> Iterator[None]:
    """The judged model in eval mode, without gradients; in training mode again afterwards."""
    job.judged.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        job.judged.train()


def _row(batch: Batch, maps: Maps, classes: ClassScheme) -> Tensor:
    """The strip (3, h, 6 w and gaps) of one pair; a binary map's only colour is its change."""
    palette = torch.tensor([WHITE, *(cover.colour for cover in classes.land_covers)], dtype=torch.uint8)
    if maps.t1 is None or maps.t2 is None:
        palette = torch.tensor([WHITE, classes.transitions[0].colour], dtype=torch.uint8)
        ids = [batch.change, batch.change, maps.change, maps.change]
    else:
        ids = [batch.label1, batch.label2, maps.t1, maps.t2]
    painted = [palette[each.cpu().long().clamp(max=len(palette) - 1)].movedim(-1, 1) for each in ids]
    t1, t2, truth1, truth2, said1, said2 = batch.t1.cpu(), batch.t2.cpu(), *painted
    return _beside([each[0] for each in (t1, t2, truth1, said1, truth2, said2)], 2)


def _beside(pictures: list[Tensor], axis: int) -> Tensor:
    """Pictures (3, h, w) in a row or a column, with a grey gap between them."""
    size = list(pictures[0].shape)
    size[axis] = GAP
    gap = torch.full(size, GREY, dtype=torch.uint8)
    return torch.cat([part for each in pictures for part in (gap, each)][1:], axis)
