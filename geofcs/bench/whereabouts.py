"""In which functions of geofcs the threads of a process are, looked at again and again."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import geofcs

SECONDS_BETWEEN = 0.02
PACKAGE = str(Path(geofcs.__file__).parent)
OWN = str(Path(__file__))
MODEL = str(Path(geofcs.__file__).parent / "model")
"""Time in it is its caller's."""
MOST_NAMED = 16


class Whereabouts:
    """Counts threads by the innermost function of geofcs, the model's aside, that they are in.

    A look takes well under a millisecond.
    """

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._looks = 0
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[Whereabouts]:
        """Look until `end`, or until the context ends."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield self
        finally:
            self.end()
            watch.join()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def threads(self) -> dict[str, float]:
        """How many threads were in a function on average, those with most first."""
        return {name: count / self._looks for name, count in self._found.most_common(MOST_NAMED)}

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN):
            self._looks += 1
            self._found.update(filter(None, map(_innermost, sys._current_frames().values())))


def _innermost(frame: FrameType | None) -> str | None:
    while frame is not None:
        name = frame.f_code.co_filename
        if name == OWN:
            return None
        if name.startswith(PACKAGE) and not name.startswith(MODEL):
            return f"{Path(name).relative_to(PACKAGE)}: {frame.f_code.co_qualname}"
        frame = frame.f_back
    return None
