"""Pictures of a report: its confusion matrices and its table, PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from geofcs.evaluation.report import TITLES, Report, names_of
from geofcs.evaluation.tables import with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from geofcs.training.quality import Quality

DPI = 150
MOST_LABELLED = 12
"""Cells of larger matrices are too small for their numbers."""

INCHES_PER_CELL, MARGIN_INCHES = 0.62, 2.6
SMALLEST_INCHES, LARGEST_INCHES = 5.0, 16.0


def matrix_figure(quality: Quality, report: Report) -> Figure:
    """A confusion matrix, each column as shares of its true pixels; classes that nobody names are left out."""
    counts = np.asarray(quality.matrix, np.float64)
    kept = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts, names = counts[np.ix_(kept, kept)], [names_of(quality, report.scheme)[number] for number in kept]
    true = counts.sum(0)
    shares = np.divide(counts, true, out=np.zeros_like(counts), where=true > 0)
    side = min(LARGEST_INCHES, max(SMALLEST_INCHES, MARGIN_INCHES + INCHES_PER_CELL * len(kept)))
    figure = Figure((side, side), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _label(axes, names)
    axes.set_title(f"{report.title}\n{quality.protocol}: % of each true class", fontsize=9)
    if len(kept) <= MOST_LABELLED:
        for (row, col), share in np.ndenumerate(shares):
            if true[col]:
                colour = "white" if share > 0.55 else "black"
                axes.text(col, row, f"{100 * share:.1f}", ha="center", va="center", color=colour, fontsize=8)
    return figure


def table_figure(report: Report) -> Figure:
    """The headline numbers in percent with their 95 % intervals, a column per protocol."""
    numbers = list(dict.fromkeys(number for quality in report.qualities for number in quality.numbers))
    cells = [
        [
            with_interval(quality.numbers[number], quality.intervals.get(number)) if number in quality.numbers else ""
            for quality in report.qualities
        ]
        for number in numbers
    ]
    figure = Figure((3.4 + 2.4 * len(report.qualities), 0.9 + 0.29 * len(numbers)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.set_title(report.title, fontsize=9)
    table = axes.table(
        cells,
        rowLabels=[TITLES[number] for number in numbers],
        colLabels=[f"{quality.protocol}, %" for quality in report.qualities],
        cellLoc="right",
        loc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1, 1.25)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.4)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date and the program's version: the same numbers give the same bytes."""
    figure.savefig(path, metadata={"Software": None})


def _label(axes: Axes, names: list[str]) -> None:
    size = 8 if len(names) <= MOST_LABELLED else 7
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
