"""What a run asks of its workers, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from geofcs.blocks import BlockCounts
from geofcs.schedule.doings import Doings
from geofcs.schedule.task import Work


class WorkerDiedError(Exception):
    """A worker died while it executed a block."""


class Task(Protocol):
    """A block under way."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def counts(self) -> BlockCounts:
        """What it did, once it has ended. Raises what it raised, and `WorkerDiedError`."""
        ...


class Workers(Protocol):
    """Those who execute blocks."""

    def heard(self, run: str, hear: Callable[[list[int]], None]) -> AbstractContextManager[None]:
        """Pass on what blocks of a run tell, [number, tiles done], until the context ends."""
        ...

    def begin(self, work: Work, ended: Callable[[Task], None]) -> Task:
        """Have a block executed; `ended` is called with its task when it has ended."""
        ...

    def stop(self, run: str, seconds: float) -> None:
        """Have blocks of a run end after the strip under way, `seconds` from now at the latest."""
        ...

    def forget(self, run: str, tasks: Sequence[Task]) -> None:
        """Begin none of these any more; those under way are left to themselves."""
        ...

    def doings(self) -> list[Doings]:
        """What they are doing."""
        ...
