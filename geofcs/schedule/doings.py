"""What a worker's threads are doing, told when a run has stalled."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from geofcs.schedule.task import execute


@dataclass(frozen=True)
class Doings:
    """What a worker was found doing: each thread's stack as text, and the module of ours that each block was in."""

    worker: str
    stacks: str
    modules: list[str]


def doings_here(worker: str) -> Doings:
    """Of the threads of this process, which is, or is in, a worker of that name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stacks = {names.get(number, str(number)): list(_callers(top)) for number, top in sys._current_frames().items()}
    texts = [
        f"thread {name}\n{''.join(traceback.format_list(traceback.StackSummary.extract(_lines(stack))))}"
        for name, stack in stacks.items()
    ]
    modules = [_innermost_of_ours(stack) for stack in stacks.values() if _runs_a_block(stack)]
    return Doings(worker, "\n".join(texts), modules)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that it was called from."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _lines(stack: list[FrameType]) -> Iterator[tuple[FrameType, int]]:
    return ((frame, frame.f_lineno or 0) for frame in reversed(stack))


def _runs_a_block(stack: list[FrameType]) -> bool:
    return any(frame.f_code is execute.__code__ for frame in stack)


def _innermost_of_ours(stack: list[FrameType]) -> str:
    names = (str(frame.f_globals.get("__name__")) for frame in stack)
    return next(name for name in names if name.startswith("geofcs."))
