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


class StoppableListener:
    """Passes everything on, and ends the run at the next sign of life once it is to stop."""

    def __init__(self, listener: Listener, stop: Stop) -> None:
        self._listener, self._stop = listener, stop

    def note(self, sentence: str) -> None:
        """Pass it on."""
        self._listener.note(sentence)

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """Pass it on, unless the run is to stop."""
        self._check()
        self._listener.stage(name, total, unit, pixels_per_unit)

    def advance(self, units: int) -> None:
        """Pass it on, and stop if that is wished."""
        self._listener.advance(units)
        self._check()

    def _check(self) -> None:
        if self._stop():
            raise StoppedError("stopped as asked")
