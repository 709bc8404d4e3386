"""A comparison as plain text, Markdown, CSV and JSON; the paper's table first, with its figures beneath one's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from geofcs.evaluation.comparison import Comparison, Difference, differences
from geofcs.evaluation.report import TITLES, percent, rows_of
from geofcs.evaluation.tables import csv_text, markdown_table, with_interval
from geofcs.training.quality import BINARY_CHANGE, PER_DATE, Interval

HEADLINES = ("oa", "f_scd", "miou", "sek")
"""The columns of the paper's table."""

BINARY_HEADLINES = ("precision", "recall", "f1", "iou_changed", "kappa")

MINUS = "\N{MINUS SIGN}"


class Table(NamedTuple):
    """A table of text. The last `published` rows are the paper's."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    published: int = 0


def paper_table(comparison: Comparison, protocol: str) -> Table:
    """A row per model, as the paper has them, with parameters and speed; then the paper's own, marked as such."""
    headlines = headlines_of(protocol)
    (unit,) = {each.unit for each in comparison.models.values()}
    rows = [
        [name, *(percent(quality.numbers[number]) for number in headlines), f"{measured.parameters / 1e6:.2f} M",
         "n/a" if measured.speed is None else f"{measured.speed:.3g}"]
        for (name, quality), measured in zip(
            comparison.qualities(protocol).items(), comparison.models.values(), strict=True
        )
    ]  # fmt: skip
    published = comparison.published if protocol == PER_DATE else ()
    rows += [
        [f"{row.model}, published", *(percent(getattr(row, number)) for number in headlines), "", ""]
        for row in published
    ]
    header = [f"{protocol}, %", *(TITLES[number] for number in headlines), "parameters", unit]
    return Table("", header, rows, len(published))


def difference_table(comparison: Comparison, protocol: str) -> Table:
    """A row per two models, in the paper's columns."""
    headlines = headlines_of(protocol)
    found = {(each.model, each.than, each.number): each for each in differences(comparison.qualities(protocol))}
    rows = [
        [f"{model} {MINUS} {than}", *(signed(found[model, than, number]) for number in headlines)]
        for than, model in combinations(comparison.models, 2)
    ]
    title = "How far apart they are, with 95 % intervals from drawing the same images anew for both"
    return Table(title, [f"{protocol}, %", *(TITLES[number] for number in headlines)], rows)


def number_table(comparison: Comparison, protocol: str) -> Table:
    """A row per number, with its interval, and a column per model."""
    qualities = comparison.qualities(protocol)
    numbers = next(iter(qualities.values())).numbers
    rows = [
        [TITLES[number], *(with_interval(each.numbers[number], each.intervals.get(number)) for each in
                           qualities.values())]
        for number in numbers
    ]  # fmt: skip
    return Table("All numbers, with 95 % intervals", [f"{protocol}, %", *qualities], rows)


def class_table(comparison: Comparison) -> Table:
    """IoU of each class, a column per model."""
    values = {
        name: {row.name: row.value for row in rows_of(report) if row.number == "IoU" and row.protocol == PER_DATE}
        for name, report in comparison.reports.items()
    }
    classes = dict.fromkeys(name for each in values.values() for name in each)
    rows = [[each, *(percent(found.get(each)) for found in values.values())] for each in classes]
    return Table("IoU per class", [f"{PER_DATE}, %", *values], rows)


def tables_of(comparison: Comparison) -> Iterator[Table]:
    """All of them, protocol by protocol."""
    for protocol in comparison.protocols:
        yield paper_table(comparison, protocol)
        yield difference_table(comparison, protocol)
    for protocol in comparison.protocols:
        yield number_table(comparison, protocol)
    if PER_DATE in comparison.protocols:
        yield class_table(comparison)


def headlines_of(protocol: str) -> tuple[str, ...]:
    """The numbers that the short tables show."""
    return BINARY_HEADLINES if protocol == BINARY_CHANGE else HEADLINES


def signed(difference: Difference) -> str:
    """A difference in percent with its interval: "+1.32 [+0.40, +2.21]"."""
    if difference.value is None:
        return "n/a"
    value = f"{100 * difference.value:+.2f}"
    if difference.interval is None:
        return value
    low, high = difference.interval
    return f"{value} [{100 * low:+.2f}, {100 * high:+.2f}]"


def as_text(comparison: Comparison) -> str:
    """Aligned columns for a terminal or a mail."""
    tables = ["\n".join(_aligned(table)) for table in tables_of(comparison)]
    return "\n\n".join([comparison.title, *tables, *comparison.notes]) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """The same to paste, with how each model was evaluated."""
    parts = [f"# {comparison.title}"]
    for table in tables_of(comparison):
        parts += [*([f"{table.title}:"] if table.title else []), markdown_table(table.header, table.rows)]
    parts += ["\n".join(f"- {note}" for note in comparison.notes)] if comparison.notes else []
    for name, report in comparison.reports.items():
        about = (f"- {key.replace('_', ' ')}: {value}" for key, value in report.about.items())
        parts += [f"## {name}", "\n".join(about)]
    return "\n\n".join(parts) + "\n"


def as_csv(comparison: Comparison) -> str:
    """One row per number: what it is of, of which model (minus which), and the value, a share 0 to 1."""
    header = ("kind", "protocol", "model", "than", "number", "class", "value", "low", "high")
    return csv_text([header, *_measured_rows(comparison), *_difference_rows(comparison), *_published_rows(comparison)])


def as_json(comparison: Comparison) -> str:
    """Everything but the confusion matrices, which lie with each model."""
    content = {
        "title": comparison.title,
        "notes": list(comparison.notes),
        "models": {
            name: {
                "parameters": each.parameters,
                "speed": {"value": each.speed, "unit": each.unit},
                "about": dict(each.report.about),
                "protocols": {
                    quality.protocol: {"numbers": quality.numbers, "intervals_95": _lists(quality.intervals)}
                    for quality in each.report.qualities
                },
            }
            for name, each in comparison.models.items()
        },
        "differences": {
            protocol: [
                {"model": each.model, "than": each.than, "number": each.number, "value": each.value,
                 "interval_95": None if each.interval is None else list(each.interval)}
                for each in differences(comparison.qualities(protocol))
            ]
            for protocol in comparison.protocols
        },
        "published": [row._asdict() for row in comparison.published],
    }  # fmt: skip
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _aligned(table: Table) -> Iterator[str]:
    """A table's lines: names on the left, numbers on the right."""
    rows = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if table.title:
        yield table.title
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "   ".join([name.ljust(widths[0]), *padded]).rstrip()


def _measured_rows(comparison: Comparison) -> Iterable[Sequence[object]]:
    for name, measured in comparison.models.items():
        yield ("measured", "", name, "", "parameters", "", measured.parameters, "", "")
        yield ("measured", "", name, "", measured.unit, "", _value(measured.speed), "", "")
        for row in rows_of(measured.report):
            yield ("measured", row.protocol, name, "", row.number, row.name, _value(row.value), *_ends(row.interval))


def _difference_rows(comparison: Comparison) -> Iterable[Sequence[object]]:
    for protocol in comparison.protocols:
        for each in differences(comparison.qualities(protocol)):
            yield ("difference", protocol, each.model, each.than, TITLES[each.number], "", _value(each.value),
                   *_ends(each.interval))  # fmt: skip


def _published_rows(comparison: Comparison) -> Iterable[Sequence[object]]:
    for row in comparison.published:
        for number in HEADLINES:
            yield ("published", PER_DATE, row.model, "", TITLES[number], "", _value(getattr(row, number)), "", "")


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _ends(interval: Interval | None) -> tuple[str, str]:
    return ("", "") if interval is None else (f"{interval.low:.6f}", f"{interval.high:.6f}")


def _lists(intervals: dict[str, Interval | None]) -> dict[str, Any]:
    return {name: None if each is None else list(each) for name, each in intervals.items()}
