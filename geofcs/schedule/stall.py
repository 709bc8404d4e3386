"""A run in which nothing happens any more: the user is told, and in the end the run is, with what its threads did."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofcs.errors import StalledError, StalledSourceError
from geofcs.listener import Listener
from geofcs.schedule.doings import Doings

STACKS = "stacks.txt"
"""Beside the strips, with which it goes."""

READING = "geofcs.reading"
"""Where a block waits for the pixels of its tiles."""

MOST_BETWEEN = 2.0
"""Seconds that may lie between two moments of listening: in more, this process was suspended, as by Ctrl-Z, and its
workers perhaps as well."""


@dataclass(frozen=True)
class Patience:
    """Seconds without a tile after which the user is told (and again each time that they have doubled), and after
    which the run is ended; None: never."""

    told: float = 300.0
    ended: float | None = None


ENDLESS = Patience()


class Silence:
    """Notices when nothing happens any more, as long as it is asked to listen now and then."""

    def __init__(self, listener: Listener, patience: Patience) -> None:
        self._listener, self._patience = listener, patience
        self.broken()

    def broken(self) -> None:
        """Something happened."""
        self.seconds, self._listened = 0.0, time.monotonic()
        self._told_next = self._patience.told

    @property
    def is_over_long(self) -> bool:
        """Whether it has lasted so long that the run is to end."""
        return self._patience.ended is not None and self.seconds >= self._patience.ended

    def listen(self, blocks: int) -> None:
        """Tell if it has lasted."""
        now = time.monotonic()
        self.seconds += min(now - self._listened, MOST_BETWEEN)
        self._listened = now
        if self.seconds >= self._told_next:
            self._told_next *= 2
            self._listener.note(
                f"nothing has been finished for {_duration(self.seconds)}; {blocks} block(s) are under way or waiting "
                "for a worker. Are the workers alive, and the disks that the scenes lie on?"
            )


def stalled(seconds: float, doings: Sequence[Doings], strips: Path) -> StalledError:
    """The error that ends a run; the stacks of all workers' threads are written beside the strips."""
    path = strips / STACKS
    try:
        path.write_text("\n".join(f"worker {each.worker}\n{each.stacks}" for each in doings), encoding="utf-8")
        whereabouts = f"{path} says what each thread was doing"
    except OSError as error:
        whereabouts = f"what each thread was doing cannot be written to {path} ({error.strerror})"
    modules = [module for each in doings for module in each.modules]
    kind = StalledSourceError if READING in modules else StalledError
    return kind(
        f"nothing has been finished for {_duration(seconds)}, so the run was ended: {_suspicion(modules)}; "
        f"{whereabouts}; give the same command again to go on, with --stall MINUTES to wait longer"
    )


def _suspicion(modules: list[str]) -> str:
    """What seems to hang."""
    if not modules:
        return "no worker answers, or none is there"
    if READING in modules:
        waiting = f"{modules.count(READING)} of {len(modules)} block(s) under way"
        return f"{waiting} wait for pixels: look at where the scenes lie"
    places = ", ".join(sorted(set(modules)))
    return f"{len(modules)} block(s) under way are in {places}: look at the device and the disk"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
