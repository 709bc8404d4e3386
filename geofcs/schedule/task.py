"""What runs on a worker: one block, which says how it gets on and stops when it is told to."""

from __future__ import annotations

import os
import time

import torch
from distributed import Worker, get_worker

from geofcs.blocks import BlockCounts, BlockJob, run_block
from geofcs.errors import ComputeError, StoppedError
from geofcs.schedule.terms import Terms, insist
from geofcs.tiles import Block

SECONDS_BETWEEN_NEWS = 0.3
"""A block says how far it is no more often than this: news cost the scheduler time and memory."""

BROKEN_DEVICE = 75
"""Exit code of a process whose GPU answers nothing but errors any more; whoever watches over it starts another."""

_deadlines: dict[str, float] = {}


def stop_run(run: str, seconds: float) -> None:
    """Executed on every worker: blocks of `run` end after the strip under way, `seconds` from now at the latest."""
    _deadlines[run] = time.monotonic() + seconds


def forget_run(run: str) -> None:
    """Executed on every worker when a run that was stopped is over."""
    _deadlines.pop(run, None)


class Reporter:
    """A block's `Watch` on a worker: sends (block's number, tiles done so far), raises `StoppedError` when told to."""

    def __init__(self, worker: Worker, run: str, number: int) -> None:
        self._worker, self._run, self._number = worker, run, number
        self._done = 0
        self._said = 0.0

    def tiles_done(self, count: int) -> None:
        """Count, say so now and then, and stop if there is no time left."""
        self._done += count
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_NEWS:
            self._said = now
            self._worker.log_event(self._run, [self._number, self._done])
        if now > _deadlines.get(self._run, now):
            raise StoppedError("the block was stopped")

    def strip_done(self) -> None:
        """Stop if that is wished."""
        if self._run in _deadlines:
            raise StoppedError("the block was stopped after a strip")


def run_task(block: Block, number: int, job: BlockJob, run: str, terms: Terms | None) -> BlockCounts:
    """Run a block on a Dask worker, which must meet the terms if there are any.

    Raises what `run_block` raises, `InputError` and `StoppedError`.
    """
    worker = get_worker()
    reporter = Reporter(worker, run, number)
    reporter.strip_done()
    if terms is not None:
        insist(terms, job)
    try:
        return run_block(job, block, reporter)
    except torch.AcceleratorError as error:
        if worker.nanny:
            os._exit(BROKEN_DEVICE)  # after such an error every later call in this process fails as well
        raise ComputeError(f"the GPU failed ({_first_line(error)}): give the same command again to go on") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
