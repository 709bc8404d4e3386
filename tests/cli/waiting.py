"""The command, which waits in the middle of one of its stages for a signal: python -m tests.cli.waiting STAGE MARKS ...

Whoever waits leaves a file in the folder MARKS.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geofcs import run
from geofcs.cli import main
from geofcs.cli.signals import signals
from geofcs.schedule import task
from geofcs.scoring import ModelScorer

MOST_SECONDS = 60

Anything = Callable[..., Any]


def wait(marks: Path, condition: Callable[[], bool]) -> None:
    (marks / str(threading.get_ident())).touch()
    end = time.monotonic() + MOST_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def wait_among_tiles(marks: Path) -> None:
    """Every block, at the second tile of its first strip, until it is to stop."""
    whole, calls = ModelScorer.__call__, Counter[int]()

    def score(*arguments: Any) -> Any:
        calls[threading.get_ident()] += 1
        if calls[threading.get_ident()] == 2:
            wait(marks, lambda: bool(task._deadlines))
        return whole(*arguments)

    ModelScorer.__call__ = score  # type: ignore[assignment]


def hang(marks: Path) -> None:
    """Every block, whatever it is told."""
    ModelScorer.__call__ = lambda *_: wait(marks, lambda: False)  # type: ignore[assignment]


def wait_before(name: str) -> Callable[[Path], None]:
    """Before a function of `geofcs.run`, until there was a signal."""

    def prepare(marks: Path) -> None:
        whole = getattr(run, name)

        def waiting(*arguments: Any, **options: Any) -> Any:
            wait(marks, signals.wanted)
            return whole(*arguments, **options)

        setattr(run, name, waiting)

    return prepare


STAGES = {
    "tiles": wait_among_tiles,
    "hanging": hang,
    "rasters": wait_before("_write_rasters"),
    "polygons": wait_before("_write_polygons"),
}

if __name__ == "__main__":
    STAGES[sys.argv.pop(1)](Path(sys.argv.pop(1)))
    main()
