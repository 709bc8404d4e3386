"""Blocks executed by threads of this process: without Dask, whose import would take longer than starting them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue

from geofcs.blocks import BlockCounts
from geofcs.libraries import BLOCK_THREADS
from geofcs.schedule.doings import Doings, doings_here
from geofcs.schedule.rounds import Team
from geofcs.schedule.task import Work, execute, forget_run, stop_run
from geofcs.schedule.workers import Task

NAME = "this process"

SECONDS_TO_END = 0.3
"""For threads without a block to be gone, so that whoever looks for threads that compute finds no others."""


@contextmanager
def thread_team(count: int) -> Iterator[Team]:
    """So many threads; those without a block end with the context."""
    workers = ThreadWorkers(count)
    try:
        yield Team(workers)
    finally:
        workers.dismiss()


class ThreadWorkers:
    """Threads as `geofcs.schedule.workers.Workers`; Python ends without waiting for one that hangs."""

    def __init__(self, count: int) -> None:
        self._tasks: SimpleQueue[ThreadTask | None] = SimpleQueue()
        self._hear: dict[str, Callable[[list[int]], None]] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"{BLOCK_THREADS}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.execute()
            del task  # nothing of it is kept until there is another

    @contextmanager
    def heard(self, run: str, hear: Callable[[list[int]], None]) -> Iterator[None]:
        """Pass on what blocks of a run tell, until the context ends."""
        self._hear[run] = hear
        try:
            yield
        finally:
            del self._hear[run]

    def begin(self, work: Work, ended: Callable[[Task], None]) -> Task:
        """Have a block executed; `ended` is called with its task when it has ended."""
        task = ThreadTask(work, self._hear[work.run], ended)
        self._tasks.put(task)
        return task

    def stop(self, run: str, seconds: float) -> None:
        """Have blocks of a run end after the strip under way, `seconds` from now at the latest."""
        stop_run(run, seconds)

    def forget(self, run: str, tasks: Sequence[Task]) -> None:
        """Begin none of these any more; those under way are left to themselves."""
        for task in tasks:
            if isinstance(task, ThreadTask):
                task.cancel()
        if all(task.done() for task in tasks):
            forget_run(run)  # else those under way would no longer know that they are to end

    def doings(self) -> list[Doings]:
        """What they, and all other threads of this process, are doing."""
        return [doings_here(NAME)]

    def dismiss(self) -> None:
        """Let them end; those that still compute are left to themselves."""
        for _ in self._threads:
            self._tasks.put(None)
        end = time.monotonic() + SECONDS_TO_END
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))


class ThreadTask:
    """A block that a thread executes."""

    def __init__(self, work: Work, tell: Callable[[list[int]], None], ended: Callable[[Task], None]) -> None:
        self._work, self._tell, self._ended = work, tell, ended
        self._result: Future[BlockCounts] = Future()

    def execute(self) -> None:
        """Run it, unless it was cancelled."""
        if not self._result.set_running_or_notify_cancel():
            return
        try:
            self._result.set_result(execute(self._work, self._tell, is_replaced=False))
        except BaseException as error:  # noqa: BLE001, whoever asks for the result gets it
            self._result.set_exception(error)
        self._ended(self)

    def cancel(self) -> None:
        """Do not run it, if it has not begun."""
        self._result.cancel()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._result.done()

    def counts(self) -> BlockCounts:
        """What it did, once it has ended. Raises what it raised."""
        return self._result.result()
