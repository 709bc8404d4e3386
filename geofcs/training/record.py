"""What a run writes down as it goes: losses.csv, metrics.csv, and the same for TensorBoard.

Both tables hold nothing that depends on the clock, so that a run which was resumed leaves the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from geofcs.durable import written_whole
from geofcs.errors import OutputError
from geofcs.training.quality import Quality
from geofcs.training.step import TERMS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOSSES, METRICS = "losses.csv", "metrics.csv"
EVENTS = "events"
"""The folder inside a run that TensorBoard reads."""

Row = dict[str, float | int | str | None]


class Table:
    """A CSV file that rows are added to; rows of iterations after the one it is opened at are dropped."""

    def __init__(self, path: Path, iteration: int) -> None:
        self._path = path
        kept = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row]
            # A row that the disk had no more room for is shorter than the columns' names.
            kept = [row for row in rows if _before(row[0], iteration) and len(row) == len(rows[0])]
        self._begun = bool(kept)
        try:
            with written_whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(kept)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error

    def add(self, row: Row) -> None:
        """One more row; the first gives the columns' names. A number that is n/a is left empty."""
        try:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if not self._begun:
                    writer.writerow(row)
                    self._begun = True
                writer.writerow(["" if value is None else value for value in row.values()])
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror or error}") from error


class Record:
    """Both tables of a run, and TensorBoard's events if they are wanted."""

    def __init__(self, run: Path, iteration: int, *, tensorboard: bool) -> None:
        self._losses, self._metrics = Table(run / LOSSES, iteration), Table(run / METRICS, iteration)
        self._folder = run / EVENTS
        with self._writing():
            self._events = _events(self._folder, iteration) if tensorboard else None

    def losses(self, iteration: int, rate: float, terms: list[float], skipped: int) -> None:
        """Mean loss terms since the last row, the learning rate, and how many steps were not finite."""
        numbers = {"lr": rate, **dict(zip(TERMS, terms, strict=True)), "skipped": skipped}
        self._losses.add({"iteration": iteration, **numbers})
        self._show("train", numbers, iteration)

    def quality(self, iteration: int, quality: Quality) -> None:
        """The numbers of a validation."""
        self._metrics.add({"iteration": iteration, "protocol": quality.protocol, **quality.numbers})
        self._show(f"validation_{quality.protocol}", quality.numbers, iteration)

    def speed(self, iteration: int, seconds: float, waiting: float) -> None:
        """Seconds an iteration, and the share of them in which it waited for data: TensorBoard's alone."""
        if self._events is not None:
            with self._writing():
                self._events.add_scalar("speed/seconds_per_iteration", seconds, iteration)
                self._events.add_scalar("speed/share_waiting_for_data", waiting, iteration)

    def pictures(self, iteration: int, strip: Tensor) -> None:
        """A strip of example predictions (3, h, w) uint8."""
        if self._events is not None:
            with self._writing():
                self._events.add_image("validation/t1_t2_truth1_said1_truth2_said2", strip, iteration)

    def close(self) -> None:
        """Write out what TensorBoard's writer still holds."""
        if self._events is not None:
            with self._writing():
                self._events.close()

    def _show(self, group: str, numbers: Mapping[str, float | None], iteration: int) -> None:
        if self._events is None:
            return
        with self._writing():
            for name, value in numbers.items():
                if value is not None:
                    self._events.add_scalar(f"{group}/{name}", value, iteration)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """TensorBoard's writer, in a thread of its own, may say late that the disk is full."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written: {error.strerror or error}") from error


def _before(cell: str, iteration: int) -> bool:
    return not cell.isdigit() or int(cell) <= iteration


def _events(folder: Path, iteration: int) -> SummaryWriter:
    # Imported late: the writer alone needs the tensorboard package, which output.tensorboard=false does without.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=iteration + 1)
