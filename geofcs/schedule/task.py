"""What a worker executes: one block, which says how it gets on and stops when it is told to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from geofcs.blocks import BlockCounts, BlockJob, run_block
from geofcs.breakdown import first_line, gpu_here, gpu_is_lost, is_of_a_gpu, is_out_of_memory
from geofcs.errors import ComputeError, LostGpuError, StoppedError
from geofcs.schedule.terms import Terms, insist
from geofcs.tiles import Block

SECONDS_BETWEEN_NEWS = 0.3
"""A block says how far it is no more often than this: news cost the scheduler time and memory."""

BROKEN_DEVICE = 75
"""Exit code of a process whose GPU answers nothing but errors any more; whoever watches over it starts another."""

_deadlines: dict[str, float] = {}

_beyond_help: list[BaseException] = []
"""Errors of a GPU that is lost to this process, with the tensors of their frames. To give back one that several streams
have used, torch asks the GPU for an event; refused where nobody can be told, that ends the process by SIGABRT."""


def stop_run(run: str, seconds: float) -> None:
    """Executed on every worker: blocks of `run` end after the strip under way, `seconds` from now at the latest."""
    _deadlines[run] = time.monotonic() + seconds


def forget_run(run: str) -> None:
    """Executed on every worker when a run that was stopped is over."""
    _deadlines.pop(run, None)


class Reporter:
    """A block's `Watch` on a worker: tells [block's number, tiles done so far], raises `StoppedError` when told to."""

    def __init__(self, tell: Callable[[list[int]], None], run: str, number: int) -> None:
        self._tell, self._run, self._number = tell, run, number
        self._done = 0
        self._said = 0.0

    def tiles_done(self, count: int) -> None:
        """Count, say so now and then, and stop if there is no time left."""
        self._done += count
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_NEWS:
            self._said = now
            self._tell([self._number, self._done])
        if now > _deadlines.get(self._run, now):
            raise StoppedError("the block was stopped")

    def strip_done(self) -> None:
        """Stop if that is wished."""
        if self._run in _deadlines:
            raise StoppedError("the block was stopped after a strip")


@dataclass(frozen=True)
class Work:
    """A block of a run, by its number there."""

    block: Block
    number: int
    job: BlockJob
    run: str
    terms: Terms | None = None
    """What a worker must meet; None where that is known."""


def execute(work: Work, tell: Callable[[list[int]], None], *, is_replaced: bool) -> BlockCounts:
    """Run a block on this worker, which another replaces if it ends, or none.

    Raises what `run_block` raises, `InputError` and `StoppedError`. A worker process whose GPU is lost ends, and so
    counts as one that died; where nobody would replace it, `LostGpuError` is raised.
    """
    reporter = Reporter(tell, work.run, work.number)
    reporter.strip_done()
    try:
        if work.terms is not None:
            insist(work.terms, work.job)
        return run_block(work.job, work.block, reporter)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise _out_of_memory(error) from error
        if not is_of_a_gpu(error):
            raise
        if not gpu_is_lost():
            raise ComputeError(_said_of_a_gpu(error)) from error
        if is_replaced:
            os._exit(BROKEN_DEVICE)
        _beyond_help.append(error)
        raise LostGpuError(_said_of_a_gpu(error)) from error


def _out_of_memory(error: BaseException) -> ComputeError:
    """Of memory that was too short elsewhere than in a call of the model, whose batch would have been halved."""
    return ComputeError(
        f"out of memory ({first_line(error)}): use a smaller --tile or --batch, or fewer --workers, or end what else "
        "takes it, and give the same command again"
    )


def _said_of_a_gpu(error: BaseException) -> str:
    return (
        f"{gpu_here()} failed ({first_line(error)}): give the same command again to go on; if it fails there again, "
        "look at it with nvidia-smi, and leave it out with --device cuda:NUMBERS of others, or cpu"
    )
