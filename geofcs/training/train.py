"""Training: iterate, write down, judge, save; from wherever the last state left off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol

import torch.distributed

from geofcs.classes import scheme_to_json
from geofcs.errors import ComputeError, InputError, LostLockError, OutputError, SourceError
from geofcs.lock import Lock
from geofcs.model.weights import save_weights
from geofcs.training.batches import Batch
from geofcs.training.beginning import CONFIG, begun, check_room_for, held, resumed
from geofcs.training.checkpoint import STATE, Checkpoints, Facts, way_on
from geofcs.training.config import RunConfig, write_config
from geofcs.training.job import Job, launched
from geofcs.training.loading import batches
from geofcs.training.memory import memory_advice
from geofcs.training.processes import agreed, raise_once
from geofcs.training.progress import Progress
from geofcs.training.quality import Quality
from geofcs.training.record import Record
from geofcs.training.schedules import learning_rate
from geofcs.training.scores import score_of, told
from geofcs.training.sets import Sets, sets_of
from geofcs.training.state import state_tensors
from geofcs.training.step import Step, iterate
from geofcs.training.validate import Validation

BEST, LAST = "best.safetensors", "last.safetensors"
"""Weights that detection takes, in a run's folder."""

MOST_BROKEN = 3
"""Iterations in a row whose numbers are not finite, after which a run stops."""


class Listener(Protocol):
    """Is told what happens."""

    def note(self, sentence: str) -> None: ...

    def begin(self, done: int, total: int) -> None: ...

    def step(self, iteration: int, loss: float, rate: float) -> None: ...

    def judged(self, iteration: int, quality: Quality, is_best: bool) -> None: ...

    def lost(self, sentence: str | None, exit_code: int) -> NoReturn: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended: iterations done, the best score and where, whether it was asked to stop before the end."""

    run: Path
    iteration: int
    best: float | None
    best_iteration: int
    interrupted: bool


def train(config: RunConfig, run: Path, listener: Listener, stop: Callable[[], bool], *, resume: bool) -> Outcome:
    """Train as a config says, into a folder; with `resume` from the state that lies there.

    `stop` is asked after every iteration; once it says yes, the state is saved. Raises `InputError` for data or weights
    that do not fit, `OutputError` where nothing can be written or another run writes, `ComputeError` for too little
    memory or numbers that are not finite; the last good state is then on the disk.
    """

    def lost(sentence: str | None, exit_code: int) -> NoReturn:
        listener.lost(sentence and f"{sentence}{way_on(run, 'then')}", exit_code)

    with held(run, new=not resume) as lock, launched(config, lost) as fabric, memory_advice(config, run):
        sets = agreed(partial(sets_of, config))
        begin = partial(resumed, run) if resume else begun
        job, progress = begin(fabric, config, sets, listener.note)
        try:
            if job.leads:
                check_room_for(run, job, progress)
                write_config(run / CONFIG, config)
            return Run(job, sets, run, lock, progress, listener).until_done(stop)
        except LostLockError:
            raise
        except OutputError as error:
            way = way_on(run, "make room, then") or ": make room, and give the same command again"
            raise OutputError(f"{error}{way}") from error


@dataclass(frozen=True)
class Run:
    """A job on its way; of its processes the leader has the folder's lock."""

    job: Job
    sets: Sets
    folder: Path
    lock: Lock | None
    progress: Progress
    listener: Listener

    def until_done(self, stop: Callable[[], bool]) -> Outcome:
        """Iterate until the config's iterations are done, or `stop` says yes."""
        job, progress, config = self.job, self.progress, self.job.config
        validation, record = Validation(self.sets.validation, job), self._record()
        clock = Clock(batches_of(job, self.sets, progress.iteration))
        self.listener.begin(progress.iteration, config.train.iterations)
        stopped, good = False, replace(progress)
        while progress.iteration < config.train.iterations and not stopped:
            with self._saved_if_pairs_fail(good):
                step = iterate(job, clock, progress.iteration, stop())
            progress.add(step)
            if progress.broken == MOST_BROKEN:
                self._give_up(step, good)
            stopped = step.stop
            self._write_down(step, record, clock)
            if self._due(config.validation.every):
                with self._saved_if_pairs_fail(progress):
                    self._judge(validation, record)
            if stopped or self._due(config.output.save_every):
                self._save(progress)
            if step.finite:
                good = replace(progress)
        if record is not None:
            record.close()
        done = progress.iteration == config.train.iterations
        if done and job.leads:
            self._write_weights(LAST, f"after {progress.iteration} iterations")
        return Outcome(self.folder, progress.iteration, progress.best, progress.best_iteration, not done)

    def _due(self, every: int) -> bool:
        """Whether something that happens so often, and at the end, happens now."""
        done, total = self.progress.iteration, self.job.config.train.iterations
        return done % every == 0 or done == total

    def _record(self) -> Record | None:
        if not self.job.leads:
            return None
        return Record(self.folder, self.progress.iteration, tensorboard=self.job.config.output.tensorboard)

    def _write_down(self, step: Step, record: Record | None, clock: Clock) -> None:
        iteration, config = self.progress.iteration, self.job.config
        rate = learning_rate(config.train, iteration - 1)
        self.listener.step(iteration, step.terms[-1], rate)
        if not self._due(config.output.log_every):
            return
        means, skipped = self.progress.taken()
        if record is not None:
            record.losses(iteration, rate, means, skipped)
            record.speed(iteration, *clock.taken(config.output.log_every))

    def _judge(self, validation: Validation, record: Record | None) -> None:
        """Validate, and keep the weights if they are the best so far."""
        iteration, config = self.progress.iteration, self.job.config
        quality = validation.quality()
        is_best = self.progress.improves(score_of(quality, config.validation.best))
        if is_best and config.loss.pseudo_from is not None and (quality.f_scd or 0) > config.loss.pseudo_from:
            self.job.teacher.become(self.job.judged)
        if record is None:
            return
        record.quality(iteration, quality)
        if config.output.pictures and config.output.tensorboard:
            record.pictures(iteration, validation.pictures(config.output.pictures))
        if is_best:
            said = told(quality, config.validation.best)
            self._write_weights(BEST, f"best of validations, after {iteration} iterations, {said}")
        self.listener.judged(iteration, quality, is_best)

    def _save(self, progress: Progress) -> None:
        """The whole state, written by one process."""
        job = self.job
        if job.leads:
            assert self.lock is not None, "who leads holds it"
            self.lock.check()
            facts: Facts = {
                "progress": asdict(progress),
                "architecture": job.model.config.architecture,
                "model": asdict(job.model.config),
                "classes": scheme_to_json(job.classes),
                "seed": job.config.train.seed,
            }
            tensors = state_tensors(job.model, job.optimizer, job.average) | job.teacher.tensors()
            Checkpoints(self.folder / STATE).save(progress.iteration, tensors, facts)

    @contextmanager
    def _saved_if_pairs_fail(self, good: Progress) -> Iterator[None]:
        """Save before a pair that cannot be read ends the run."""
        try:
            yield
        except (InputError, SourceError, ComputeError) as error:
            if good.iteration:
                self._save(good)
            raise type(error)(f"{error}{way_on(self.folder, 'mend this, then')}") from error

    def _give_up(self, step: Step, good: Progress) -> NoReturn:
        """Save the state before the first of several iterations that were not finite, none of which changed it."""
        self._save(good)
        names = ", ".join(_all_names(self.job, step.names))
        raise_once(
            ComputeError(
                f"{MOST_BROKEN} iterations in a row gave numbers that are not finite, the last on {names}; the state "
                f"after iteration {good.iteration} is in {self.folder / STATE}: look at these pairs, or go on more "
                f"gently with geofcs train --resume {self.folder} --set train.lr={self.job.config.train.lr / 2:g}"
            )
        )

    def _write_weights(self, name: str, when: str) -> None:
        config, job = self.job.config, self.job
        trained = f"on {config.data.dataset} ({self.sets.said}), {when}"
        save_weights(self.folder / name, job.judged, job.model.config, job.classes, config.data.crop, trained)


class Clock:
    """Batches, and how long was waited for them."""

    def __init__(self, source: Iterator[Batch]) -> None:
        self._source = source
        self._waited = 0.0
        self._since = time.perf_counter()

    def __iter__(self) -> Clock:
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = next(self._source)
        self._waited += time.perf_counter() - began
        return batch

    def taken(self, iterations: int) -> tuple[float, float]:
        """Seconds an iteration since the last time, and the share of them spent waiting."""
        now = time.perf_counter()
        passed, waited = now - self._since, self._waited
        self._since, self._waited = now, 0.0
        return passed / iterations, waited / max(passed, 1e-9)


def batches_of(job: Job, sets: Sets, iteration: int) -> Iterator[Batch]:
    """The training batches of this process from an iteration on."""
    data, pinned = job.config.data, job.device.type == "cuda"
    return batches(sets.train, data.crop, job.config.train.seed, job.share, iteration, data.workers, pinned=pinned)


def _all_names(job: Job, names: tuple[str, ...]) -> list[str]:
    """The names of every process's pairs."""
    if job.share.ranks == 1:
        return list(names)
    gathered: list[tuple[str, ...]] = [()] * job.share.ranks
    torch.distributed.all_gather_object(gathered, names)
    return [name for each in gathered for name in each]
