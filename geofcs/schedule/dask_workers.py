"""Blocks as Dask tasks: on worker processes of this machine, or on those of a cluster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from distributed import Client, Future, KilledWorker, Worker, get_worker

from geofcs.blocks import BlockCounts
from geofcs.errors import ComputeError
from geofcs.heap import keep_freed
from geofcs.journal import as_output_error
from geofcs.schedule.doings import Doings, doings_here
from geofcs.schedule.task import Work, execute, forget_run, stop_run
from geofcs.schedule.workers import Task, WorkerDiedError

SECONDS_TO_ANSWER = 5.0
"""For workers to tell what they do: one in which not even Python runs any more does not."""


@dataclass(frozen=True)
class DaskWorkers:
    """The workers of a client's scheduler, as `geofcs.schedule.workers.Workers`; a block takes so much of resources."""

    client: Client
    resources: dict[str, float] | None = None

    @contextmanager
    def heard(self, run: str, hear: Callable[[list[int]], None]) -> Iterator[None]:
        """Pass on what blocks of a run tell, until the context ends."""
        self.client.subscribe_topic(run, lambda event: hear(list(event[1])))
        try:
            yield
        finally:
            self.client.unsubscribe_topic(run)

    def begin(self, work: Work, ended: Callable[[Task], None]) -> Task:
        """Have a block executed; `ended` is called with its task when it has ended."""
        key = f"geofcs-block-{work.number}-{uuid.uuid4().hex}"
        mark = work.job.strips / f"{key}.begun"
        future = self.client.submit(run_task, work, mark, key=key, resources=self.resources, retries=0, pure=False)
        task = DaskTask(future)
        future.add_done_callback(lambda _: ended(task))
        return task

    def stop(self, run: str, seconds: float) -> None:
        """Have blocks of a run end after the strip under way, `seconds` from now at the latest."""
        self._everywhere(stop_run, run, seconds)

    def forget(self, run: str, tasks: Sequence[Task]) -> None:
        """Begin none of these any more; those under way are left to themselves."""
        self.client.cancel([task.future for task in tasks if isinstance(task, DaskTask)])
        self._everywhere(forget_run, run)

    def doings(self) -> list[Doings]:
        """What the workers are doing; of those that do not answer within seconds it is said that they do not."""
        workers, topic = set(self.client.scheduler_info(n_workers=-1)["workers"]), f"geofcs-doings-{uuid.uuid4().hex}"
        answers: SimpleQueue[tuple[str, str, list[str]]] = SimpleQueue()
        self.client.subscribe_topic(topic, lambda event: answers.put(event[1]))
        try:
            self._everywhere(tell_doings, topic)
            found = {each.worker: each for each in _arriving(answers, len(workers))}
        finally:
            self.client.unsubscribe_topic(topic)
        silent = workers - set(found)
        nothing = "does not answer: no Python runs in it any more\n"
        return [*found.values(), *(Doings(worker, nothing, []) for worker in silent)]

    def _everywhere(self, function: Callable[..., None], *arguments: object) -> None:
        """Execute something beside the tasks of each worker, without waiting for those that do not answer."""
        assert self.client.loop is not None, "a client that was opened has a loop"
        self.client.loop.add_callback(self.client._run, function, *arguments, on_error="ignore")


@dataclass(frozen=True, eq=False)
class DaskTask:
    """A block under way on some worker."""

    future: Future[BlockCounts]

    def done(self) -> bool:
        """Whether it has ended."""
        return bool(self.future.done())

    def counts(self) -> BlockCounts:
        """What it did, once it has ended. Raises what it raised, `WorkerDiedError` and `ComputeError`."""
        if self.future.status == "finished":
            return self.future.result()
        if self.future.status != "error":
            raise ComputeError("the connection to the scheduler was lost: give the same command again to go on")
        error = self.future.exception()
        if isinstance(error, KilledWorker):
            raise WorkerDiedError
        assert error is not None, "its status is that it failed"
        raise error


def run_task(work: Work, mark: Path) -> BlockCounts:
    """Executed on a worker: a block, once. A worker with a nanny, or of a cluster, is replaced when it ends."""
    keep_freed()
    worker = get_worker()
    is_replaced = bool(worker.nanny) or work.terms is not None
    with begun_once(mark):
        return execute(work, partial(worker.log_event, work.run), is_replaced=is_replaced)


@contextmanager
def begun_once(mark: Path) -> Iterator[None]:
    """A mark lies among the strips, which all workers see, for as long as a task is executed.

    Raises `WorkerDiedError` where one lies there already: its worker has died. Dask gives the task to the next one, and
    to another when that dies too; it tells of it after four deaths, and of tasks that only waited at these workers.
    """
    with as_output_error(mark):
        try:
            mark.touch(exist_ok=False)
        except FileExistsError as error:
            raise WorkerDiedError from error
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def tell_doings(topic: str, dask_worker: Worker) -> None:
    """Executed on every worker: says under a topic what `Doings` holds."""
    dask_worker.log_event(topic, astuple(doings_here(dask_worker.address)))


def _arriving(answers: SimpleQueue[tuple[str, str, list[str]]], count: int) -> Iterator[Doings]:
    end = time.monotonic() + SECONDS_TO_ANSWER
    for _ in range(count):
        try:
            yield Doings(*answers.get(timeout=max(0, end - time.monotonic())))
        except Empty:
            return
