"""How training shows itself: a bar with loss and score on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geofcs.cli.terminal import end_at_once, stderr

if TYPE_CHECKING:
    from geofcs.training.quality import Quality
    from geofcs.training.train import Listener

SECONDS_BETWEEN_LINES = 30.0
SMOOTHING = 0.02
"""Share of the newest loss in the one that is shown."""


@contextmanager
def training_listener(*, quiet: bool) -> Iterator[Listener]:
    """The listener that fits the options and the terminal."""
    if quiet:
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

    def begin(self, done: int, total: int) -> None:
        """Nothing."""

    def step(self, iteration: int, loss: float, rate: float) -> None:
        """Nothing."""

    def judged(self, iteration: int, quality: Quality, is_best: bool) -> None:
        """Nothing."""

    def lost(self, sentence: str | None, exit_code: int) -> NoReturn:
        """End, as another process did."""
        end_at_once(sentence, exit_code)


class PlainLines:
    """A line now and then, and one per validation."""

    def __init__(self) -> None:
        self._total = 0
        self._loss = math.nan
        self._said = 0.0

    def note(self, sentence: str) -> None:
        """The sentence, as a line."""
        stderr.print(sentence, markup=False)

    def begin(self, done: int, total: int) -> None:
        """Begin to count."""
        self._total, self._said = total, time.monotonic()
        stderr.print(f"iteration {done} of {total}", markup=False)

    def step(self, iteration: int, loss: float, rate: float) -> None:
        """Iteration, smoothed loss and learning rate, every half minute and at the end."""
        self._loss = smoothed(self._loss, loss)
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or iteration == self._total:
            self._said = now
            stderr.print(f"iteration {iteration} of {self._total}: {told(self._loss, rate)}", markup=False)

    def judged(self, iteration: int, quality: Quality, is_best: bool) -> None:
        """The numbers of a validation."""
        stderr.print(validation_line(iteration, quality, is_best), markup=False)

    def lost(self, sentence: str | None, exit_code: int) -> NoReturn:
        """End, as another process did."""
        end_at_once(sentence, exit_code)


class Bar(PlainLines):
    """A rich progress bar; validations are lines above it."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("training", total=None, said="")

    def begin(self, done: int, total: int) -> None:
        """Fill the bar as far as the run has come."""
        self._progress.reset(self._task, total=total, completed=done, said="")

    def step(self, iteration: int, loss: float, rate: float) -> None:
        """Move the bar."""
        self._loss = smoothed(self._loss, loss)
        self._progress.update(self._task, completed=iteration, said=told(self._loss, rate))


def smoothed(before: float, loss: float) -> float:
    """A moving average that passes over what is not finite."""
    if not math.isfinite(loss):
        return before
    return loss if math.isnan(before) else before + SMOOTHING * (loss - before)


def told(loss: float, rate: float) -> str:
    """Loss and learning rate."""
    return f"loss {loss:.4f}, lr {rate:.2g}"


def validation_line(iteration: int, quality: Quality, is_best: bool) -> str:
    """The chief numbers of a validation, with their protocol."""
    numbers = [(name, getattr(quality, name)) for name in ("sek", "f_scd", "miou", "oa", "f1")]
    said = ", ".join(f"{name} {value:.4f}" for name, value in numbers if value is not None)
    return f"validation after {iteration} ({quality.protocol}): {said or 'n/a'}{', the best so far' if is_best else ''}"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
        console=stderr,
    )
