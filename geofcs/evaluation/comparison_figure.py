"""A picture of a comparison: the paper's table, where each number lies, and how far the models are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from geofcs.evaluation.comparison import Comparison
from geofcs.evaluation.comparison_tables import Table, difference_table, headlines_of, paper_table
from geofcs.evaluation.figures import DPI
from geofcs.evaluation.published import SOURCE, Published
from geofcs.evaluation.report import TITLES
from geofcs.training.quality import PER_DATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES_PER_ROW, TITLE_INCHES, WIDTH_INCHES = 0.27, 0.35, 10.0
FONT, SMALL = 9, 8
PADDING = 0.01
"""Beside each cell's text, as a share of the table's width."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Told apart by most eyes (Okabe and Ito); models beyond the sixth begin anew."""

GREY = "0.45"


def comparison_figure(comparison: Comparison) -> Figure:
    """For each protocol a table, a plot per column with 95 % intervals, and the differences."""
    parts = [_heights(comparison, protocol) for protocol in comparison.protocols]
    heights = [height for part in parts for height in part]
    figure = Figure((WIDTH_INCHES, sum(heights) + TITLE_INCHES), dpi=DPI, layout="constrained")
    figure.suptitle(comparison.title, fontsize=FONT + 1)
    if comparison.published:
        figure.supxlabel(f"published: {SOURCE}", fontsize=SMALL, color=GREY)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for number, protocol in enumerate(comparison.protocols):
        table, plots, apart = rows[3 * number : 3 * number + 3]
        _draw_table(table.subplots(), paper_table(comparison, protocol))
        _draw_numbers(list(plots.subplots(1, len(headlines_of(protocol)), sharey=True)), comparison, protocol)
        _draw_table(apart.subplots(), difference_table(comparison, protocol))
    return figure


def _heights(comparison: Comparison, protocol: str) -> list[float]:
    """Inches of a protocol's table, plots and differences."""
    rows = len(comparison.models) + len(_published(comparison, protocol))
    pairs = len(comparison.models) * (len(comparison.models) - 1) // 2
    return [INCHES_PER_ROW * (rows + 2), 0.8 + INCHES_PER_ROW * rows, TITLE_INCHES + INCHES_PER_ROW * (pairs + 2)]


def _draw_table(axes: Axes, table: Table) -> None:
    axes.axis("off")
    if table.title:
        axes.set_title(table.title, fontsize=SMALL, loc="left")
    name = max(len(row[0]) for row in (table.header, *table.rows))
    others = [max(len(row[column]) for row in (table.header, *table.rows)) for column in range(1, len(table.header))]
    whole = name + sum(others) + 2 * len(others)
    drawn = axes.table(
        [list(row) for row in table.rows], colLabels=list(table.header), cellLoc="right", colLoc="right",
        loc="center", edges="horizontal", colWidths=[name / whole, *((each + 2) / whole for each in others)],
    )  # fmt: skip
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(FONT)
    first_published = len(table.rows) - table.published + 1
    for (row, column), cell in drawn.get_celld().items():
        cell.set_linewidth(0.4)
        cell.set_height(1 / (len(table.rows) + 1))
        cell.PAD = PADDING / cell.get_width()
        if column == 0:
            cell.set_text_props(ha="left")
        if row >= first_published:
            cell.set_text_props(color=GREY, style="italic")


def _draw_numbers(plots: list[Axes], comparison: Comparison, protocol: str) -> None:
    """Each model's number as a dot on its interval, the paper's as open diamonds."""
    published = _published(comparison, protocol)
    names = [*comparison.models, *(f"{row.model}, published" for row in published)]
    for axes, number in zip(plots, headlines_of(protocol), strict=True):
        for place, quality in enumerate(comparison.qualities(protocol).values()):
            colour, value, interval = COLOURS[place % len(COLOURS)], quality.numbers[number], quality.intervals[number]
            if interval is not None:
                axes.plot([100 * end for end in interval], [place, place], color=colour, linewidth=2, alpha=0.5)
            if value is not None:
                axes.plot(100 * value, place, "o", color=colour, markersize=5)
        for place, row in enumerate(published, len(comparison.models)):
            axes.plot(100 * getattr(row, number), place, "D", color=GREY, markersize=4, fillstyle="none")
        axes.set_title(f"{TITLES[number]}, %", fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", linewidth=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
    plots[0].set_yticks(range(len(names)), names)
    plots[0].set_ylim(len(names) - 0.5, -0.5)


def _published(comparison: Comparison, protocol: str) -> tuple[Published, ...]:
    return comparison.published if protocol == PER_DATE else ()
