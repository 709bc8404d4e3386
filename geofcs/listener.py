"""Who is told how a run gets on, and who may end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from geofcs.errors import StoppedError


class Listener(Protocol):
    """Who is told how a run gets on. Calls come from several threads, but never two at once for one stage."""

    def note(self, sentence: str) -> None:
        """Something the user should know."""
        ...

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """A stage of `total` units begins."""
        ...

    def advance(self, units: int) -> None:
        """Some of the stage is done."""
        ...


Stop = Callable[[], bool]
"""Asked again and again whether the run is to stop."""


def never() -> bool:
    """For runs that nobody stops."""
    return False


class CheckedListener:
    """Passes everything on, and at each sign of life has a look at whether the run may go on: `check` raises if not."""

    def __init__(self, listener: Listener, check: Callable[[], None]) -> None:
        self._listener, self._check = listener, check

    def note(self, sentence: str) -> None:
        """Pass it on."""
        self._listener.note(sentence)

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """Pass it on, unless the run is to end."""
        self._check()
        self._listener.stage(name, total, unit, pixels_per_unit)

    def advance(self, units: int) -> None:
        """Pass it on, and end the run if it is to end."""
        self._listener.advance(units)
        self._check()


def stoppable(listener: Listener, stop: Stop) -> CheckedListener:
    """A listener that ends the run with `StoppedError` once it is to stop."""

    def check() -> None:
        if stop():
            raise StoppedError("stopped as asked")

    return CheckedListener(listener, check)
