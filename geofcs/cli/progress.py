"""How a run's progress is shown: a bar on a terminal, plain lines elsewhere, JSON lines, or nothing."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from geofcs.cli.terminal import stderr, stdout

SECONDS_BETWEEN_LINES = 10.0


class RunListener(Protocol):
    """A `geofcs.listener.Listener` that also says how the run ended."""

    def note(self, sentence: str) -> None: ...

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None: ...

    def advance(self, units: int) -> None: ...

    def done(self, folder: Path, run: dict[str, Any]) -> None: ...


@contextmanager
def listener_for(*, quiet: bool, as_json: bool) -> Iterator[RunListener]:
    """The listener that fits the options and the terminal."""
    if as_json:
        yield JsonLines()
    elif quiet:
        with warnings.catch_warnings(action="ignore"):
            yield Silence()
    elif stderr.is_terminal:
        with _progress() as progress:
            yield Bar(progress)
    else:
        yield PlainLines()


class Silence:
    """Nothing but errors, which the command shows itself."""

    def note(self, sentence: str) -> None:
        """Nothing."""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """Nothing."""

    def advance(self, units: int) -> None:
        """Nothing."""

    def done(self, folder: Path, run: dict[str, Any]) -> None:
        """Nothing."""


class Bar:
    """A rich progress bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def note(self, sentence: str) -> None:
        """A line above the bar."""
        stderr.print(sentence, markup=False)

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """A new bar; the one before it is complete."""
        self._finish()
        self._progress.start()  # a pair before this one may have ended the display
        self._task = self._progress.add_task(name, total=total, unit=unit, pixels=pixels_per_unit)

    def advance(self, units: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, units)

    def done(self, folder: Path, run: dict[str, Any]) -> None:
        """Where the results lie."""
        self._finish()
        self._progress.stop()
        for line in _closing_lines(folder, run):
            stderr.print(line, markup=False)

    def _finish(self) -> None:
        if self._task is not None:
            task = self._progress.tasks[self._task]
            self._progress.update(self._task, completed=task.total)


class PlainLines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage = ""
        self._total = self._done = 0
        self._pixels = 0.0
        self._started = self._said = 0.0

    def note(self, sentence: str) -> None:
        """The sentence, as a line."""
        stderr.print(sentence, markup=False)

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """Begin to count."""
        with self._lock:
            self._stage, self._total, self._pixels, self._done = f"{name} ({unit})", total, pixels_per_unit, 0
            self._started = self._said = time.monotonic()

    def advance(self, units: int) -> None:
        """Count, and say so every few seconds and at the end."""
        with self._lock:
            self._done += units
            now = time.monotonic()
            if now - self._said < SECONDS_BETWEEN_LINES and self._done < self._total:
                return
            self._said = now
            pace = self._done / max(now - self._started, 1e-3)
            left = max(0, self._total - self._done) / max(pace, 1e-9)
            text = f"{self._stage}: {self._done} of {self._total}, {_rate(pace, self._pixels)}, {left:.0f} s left"
        stderr.print(text, markup=False)

    def done(self, folder: Path, run: dict[str, Any]) -> None:
        """Where the results lie."""
        for line in _closing_lines(folder, run):
            stderr.print(line, markup=False)


class JsonLines:
    """One JSON object a line on stdout, for programs."""

    def __init__(self) -> None:
        self._stage = ""
        self._total = self._done = 0
        self._lock = threading.Lock()

    def note(self, sentence: str) -> None:
        """{"note": ...}"""
        self._print({"note": sentence})

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """{"stage": ..., "total": ..., "unit": ..., "pixels_per_unit": ...}"""
        self._stage, self._total, self._done = name, total, 0
        self._print({"stage": name, "total": total, "unit": unit, "pixels_per_unit": pixels_per_unit})

    def advance(self, units: int) -> None:
        """{"stage": ..., "done": ...}"""
        with self._lock:
            self._done += units
            self._print({"stage": self._stage, "done": self._done, "total": self._total})

    def done(self, folder: Path, run: dict[str, Any]) -> None:
        """{"output": folder, "run": run.json's content}"""
        self._print({"output": str(folder), "run": run})

    def _print(self, content: dict[str, Any]) -> None:
        stdout.print(json.dumps(content, ensure_ascii=False), markup=False, soft_wrap=True)


class _PixelRate(TextColumn):
    """Megapixels, or units, a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Any:
        seconds = task.finished_time or task.elapsed or 0
        return _rate(task.completed / seconds if seconds else 0, task.fields["pixels"])


def _rate(pace: float, pixels: float) -> str:
    """Megapixels a second, or units where their pixels are not known (0)."""
    return f"{pace * pixels / 1e6:.2f} Mpx/s" if pixels else f"{pace:.1f}/s"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:9s}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        _PixelRate(),
        TimeRemainingColumn(),
        console=stderr,
    )


def _closing_lines(folder: Path, run: dict[str, Any]) -> list[str]:
    counts = run["counts"]
    return [
        f"{counts['polygons']} polygons; results in {folder}/",
        *(f"  {name}" for name in run["outputs"] if not name.endswith(".aux.xml")),
        "  run.json",
    ]
