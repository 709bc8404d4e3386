"""Beside the tasks of workers: functions that each of them executes at once, and what its threads are doing."""

from __future__ import annotations

import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from types import FrameType

from distributed import Client, Worker

from geofcs.schedule.stall import Doings
from geofcs.schedule.task import run_task

SECONDS_TO_ANSWER = 5.0
"""For workers to tell what they do: one in which not even Python runs any more does not."""


def on_all_workers(client: Client, function: Callable[..., None], *arguments: object) -> None:
    """Execute something beside the tasks of each worker, without waiting for those that do not answer."""
    assert client.loop is not None, "a client that was opened has a loop"
    client.loop.add_callback(client._run, function, *arguments, on_error="ignore")


def doings_of(client: Client) -> list[Doings]:
    """What the workers are doing; of those that do not answer within seconds it is said that they do not."""
    workers, topic = set(client.scheduler_info(n_workers=-1)["workers"]), f"geofcs-doings-{uuid.uuid4().hex}"
    answers: SimpleQueue[tuple[str, str, list[str]]] = SimpleQueue()
    client.subscribe_topic(topic, lambda event: answers.put(event[1]))
    try:
        on_all_workers(client, tell_doings, topic)
        found = {each.worker: each for each in _arriving(answers, len(workers))}
    finally:
        client.unsubscribe_topic(topic)
    silent = [Doings(worker, "does not answer: no Python runs in it any more\n", []) for worker in workers - set(found)]
    return [*found.values(), *silent]


def _arriving(answers: SimpleQueue[tuple[str, str, list[str]]], count: int) -> Iterator[Doings]:
    end = time.monotonic() + SECONDS_TO_ANSWER
    for _ in range(count):
        try:
            yield Doings(*answers.get(timeout=max(0, end - time.monotonic())))
        except Empty:
            return


def tell_doings(topic: str, dask_worker: Worker) -> None:
    """Executed on every worker: says under a topic what `Doings` holds."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = {names.get(number, str(number)): list(_callers(top)) for number, top in sys._current_frames().items()}
    texts = [
        f"thread {name}\n{''.join(traceback.format_list(traceback.StackSummary.extract(_lines(stack))))}"
        for name, stack in stacks.items()
    ]
    modules = [_innermost_of_ours(stack) for stack in stacks.values() if _runs_a_block(stack)]
    dask_worker.log_event(topic, (dask_worker.address, "\n".join(texts), modules))


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that it was called from."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _lines(stack: list[FrameType]) -> Iterator[tuple[FrameType, int]]:
    return ((frame, frame.f_lineno or 0) for frame in reversed(stack))


def _runs_a_block(stack: list[FrameType]) -> bool:
    return any(frame.f_code is run_task.__code__ for frame in stack)


def _innermost_of_ours(stack: list[FrameType]) -> str:
    names = (str(frame.f_globals.get("__name__")) for frame in stack)
    return next(name for name in names if name.startswith("geofcs."))
