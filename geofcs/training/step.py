"""One iteration: augment, compare, propagate, and change the weights if every number is finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from geofcs.synthetic.noise import key_of
from geofcs.training.augment import augmented
from geofcs.training.batches import Batch
from geofcs.training.config import LossConfig
from geofcs.training.job import Job
from geofcs.training.losses import Labels, LossTerms, LossWeights, change_loss
from geofcs.training.processes import agreed
from geofcs.training.pseudo import Confidence
from geofcs.training.schedules import learning_rate


class Step(NamedTuple):
    """What an iteration gave: the mean loss terms, whether the weights changed, whether to stop, this rank's pairs."""

    terms: list[float]
    finite: bool
    stop: bool
    names: tuple[str, ...]


def iterate(job: Job, batches: Iterator[Batch], iteration: int, stop: bool) -> Step:
    """Run an iteration, counted from 0; where loss or gradient is not finite, everything stays as it was before.

    Everything random in it follows from the config's seed, the iteration and the part of the batch. All processes
    answer alike: they stop if one was asked to `stop`, and change nothing if one cannot read its pairs.
    """
    parts = agreed(lambda: [next(batches) for _ in range(job.share.accumulate)])
    before, confidence = [buffer.clone() for buffer in job.model.buffers()], job.teacher.confidence
    terms = _propagated(job, parts, iteration)
    *said, norm, stops = _agreed(job, terms, _clipped(job), stop)
    finite = all(map(math.isfinite, (*said, norm)))
    if finite:
        job.optimizer.param_groups[0]["lr"] = learning_rate(job.config.train, iteration)
        job.stepper.step()
        if job.average is not None:
            job.average.update_parameters(job.model)
    else:
        _put_back(job, before, confidence)
    job.stepper.zero_grad()
    return Step(said, finite, stops > 0, tuple(name for part in parts for name in part.names))


def _put_back(job: Job, buffers: list[Tensor], confidence: Confidence | None) -> None:
    """Undo what a forward pass did to the statistics of batch norms, and to what the teacher is sure of."""
    for buffer, value in zip(job.model.buffers(), buffers, strict=True):
        buffer.copy_(value)
    job.teacher.confidence = confidence


def seeded(job: Job, iteration: int, step: int) -> torch.Generator:
    """A CPU's generator for the augmentations; torch's own, which stochastic depth draws from, is seeded as well.

    Both follow from which part of the batch it is, not from whether another device or a later step computes it.
    """
    part = step * job.share.ranks + job.share.rank
    key = key_of(job.config.train.seed, "iteration", iteration, part) % 2**62
    torch.manual_seed(key)
    return torch.Generator().manual_seed(key + 1)


def _propagated(job: Job, parts: Sequence[Batch], iteration: int) -> Tensor:
    """Gradients of the whole batch, and its mean loss terms."""
    weights, sums = loss_weights(job.config.loss, iteration), []
    for step, part in enumerate(parts):
        batch = augmented(part.to(job.device), job.config.augment, seeded(job, iteration, step))
        with job.fabric.no_backward_sync(job.wrapped, enabled=step < len(parts) - 1):
            labels = job.teacher.labels(batch, labels_of(batch, job.classes.is_binary))
            terms = change_loss(job.passes(batch.t1, batch.t2), labels, weights)
            job.fabric.backward(terms.total / job.share.accumulate)
        sums.append(torch.stack([term.detach() for term in terms]))
    return torch.stack(sums).mean(0)


def _clipped(job: Job) -> Tensor:
    """Clip the gradients if the config asks for it; their norm before."""
    parameters, clip = list(job.model.parameters()), job.config.train.clip
    norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    return norm


def _agreed(job: Job, terms: Tensor, norm: Tensor, stop: bool) -> list[float]:
    """Loss terms, gradient norm and wish to stop, averaged over processes: where an iteration waits for a GPU."""
    values = torch.cat([terms, norm[None], torch.full_like(norm[None], float(stop))])
    if job.share.ranks > 1:
        values = cast(Tensor, job.fabric.all_reduce(values, reduce_op="mean"))
    agreed: list[float] = values.tolist()
    return agreed


def loss_weights(loss: LossConfig, iteration: int) -> LossWeights:
    """The weights at an iteration: the SeK term may come in late."""
    keys = loss.model_dump(exclude={"sek_from", "pseudo_from"})
    return LossWeights(**{**keys, "sek": loss.sek if iteration >= loss.sek_from else 0.0})


def labels_of(batch: Batch, is_binary: bool) -> Labels:
    """The truth as the loss takes it."""
    change = batch.change.long()
    return Labels(change, None, None) if is_binary else Labels(change, batch.label1.long(), batch.label2.long())


TERMS = LossTerms._fields
"""Names of the loss terms, in the order of `Step.terms`."""
