"""A whole run that says when tiles were done: what a fresh process executes, and loads no more for than the command."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from geofcs.bench.whereabouts import Whereabouts
from geofcs.detect import detect
from geofcs.plan import DetectRequest


@dataclass(frozen=True)
class Pace:
    """When blocks ran (`time.time()` at the first and the last news of tiles), tiles done in between, threads by place.

    What comes before the first news, loading the model and recording it among it, belongs to the run's start.
    """

    start: float
    end: float
    tiles: int
    threads: dict[str, float]

    @property
    def tiles_per_second(self) -> float:
        """While blocks ran; tiles that two blocks compute count twice, as they do for the model."""
        return self.tiles / max(self.end - self.start, 1e-9)


def detect_paced(request: DetectRequest) -> tuple[dict[str, Any], Pace]:
    """Run `detect`: what run.json says, and its pace."""
    with Whereabouts().watched() as whereabouts:
        pacer = _Pacer(whereabouts)
        run = detect(request, pacer)
    return run, pacer.pace


class _Pacer:
    """A listener that notes when tiles are done."""

    def __init__(self, whereabouts: Whereabouts) -> None:
        self._whereabouts = whereabouts
        self._news: list[tuple[float, int]] = []
        self._in_tiles = False

    def note(self, sentence: str) -> None:
        pass

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:  # noqa: ARG002, a listener's
        self._in_tiles = name == "tiles"
        if not self._in_tiles:
            self._whereabouts.end()

    def advance(self, units: int) -> None:
        if self._in_tiles:
            self._news.append((time.time(), units))

    @property
    def pace(self) -> Pace:
        start, end = self._news[0][0], self._news[-1][0]
        return Pace(start, end, sum(units for _, units in self._news[1:]), self._whereabouts.threads())
