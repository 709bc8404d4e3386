"""A dry run: what a config would train on, how long that takes and how much memory, found out by ten iterations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from geofcs.training.config import RunConfig
from geofcs.training.job import job_of, launched
from geofcs.training.memory import memory_advice, peak_bytes
from geofcs.training.processes import Lost, agreed
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.step import iterate
from geofcs.training.train import Clock, batches_of

ITERATIONS = 10
UNTIMED = 3
"""The first iterations, which also load, choose algorithms and take memory, are not timed."""


@dataclass(frozen=True)
class Rehearsal:
    """What ten iterations showed.

    `epochs` is how often the training pairs are gone through, None where they never end. `waiting` is the share of the
    time in which the model waited for data. `peak_bytes` is of the device: on a GPU its tensors, else the process.
    """

    data: str
    start: str
    train_pairs: int | None
    validation_pairs: int
    parameters: int
    device: str
    precision: str
    epochs: float | None
    seconds_per_iteration: float
    pairs_per_second: float
    hours: float
    waiting: float
    peak_bytes: int
    losses_finite: bool


def rehearse(config: RunConfig, lost: Lost) -> Rehearsal:
    """Run ten iterations and write nothing. Raises what `train` raises; `lost` is as in `processes.joined`."""
    with launched(config, lost) as fabric, memory_advice(config):
        sets = agreed(partial(sets_of, config))
        start = agreed(lambda: starting_model(config.model, sets.classes, config.train.seed))
        job = job_of(fabric, config, sets.classes, start.model)
        clock, finite = Clock(batches_of(job, sets, 0)), True
        began = time.perf_counter()
        for iteration in range(ITERATIONS):
            if iteration == UNTIMED:
                clock.taken(UNTIMED)
                began = time.perf_counter()
            finite &= iterate(job, clock, iteration, stop=False).finite
        seconds = (time.perf_counter() - began) / (ITERATIONS - UNTIMED)
        _, waiting = clock.taken(ITERATIONS - UNTIMED)
    count = sets.train_count
    return Rehearsal(
        data=sets.said,
        start=start.said,
        train_pairs=count,
        validation_pairs=len(sets.validation),
        parameters=sum(each.numel() for each in job.model.parameters()),
        device=str(job.device),
        precision=str(fabric.strategy.precision.precision),
        epochs=None if count is None else config.train.iterations * config.train.batch / count,
        seconds_per_iteration=seconds,
        pairs_per_second=config.train.batch / seconds,
        hours=seconds * config.train.iterations / 3600,
        waiting=waiting,
        peak_bytes=peak_bytes(job.device),
        losses_finite=finite,
    )
