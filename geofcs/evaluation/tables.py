"""A report as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from geofcs.classes import scheme_to_json
from geofcs.evaluation.report import TITLES, Report, Row, names_of, percent, rows_of
from geofcs.training.quality import Interval, Quality


def as_csv(report: Report) -> str:
    """One row per number: protocol, number, class, value (a share 0 to 1, empty where n/a), low, high, true pixels."""
    rows: list[Sequence[object]] = [("protocol", "number", "class", "value", "low", "high", "true_pixels")]
    for row in rows_of(report):
        low, high = ("", "") if row.interval is None else (f"{row.interval.low:.6f}", f"{row.interval.high:.6f}")
        value = "" if row.value is None else f"{row.value:.6f}"
        pixels = "" if row.true_pixels is None else row.true_pixels
        rows.append((row.protocol, row.number, row.name, value, low, high, pixels))
    return csv_text(rows)


def matrix_csv(quality: Quality, names: Sequence[str]) -> str:
    """A confusion matrix in pixels: rows predicted, columns true."""
    return csv_text(
        [("predicted \\ true", *names), *((name, *row) for name, row in zip(names, _ints(quality), strict=True))]
    )


def as_json(report: Report) -> str:
    """Everything, with the confusion matrices."""
    content = {
        "title": report.title,
        "about": dict(report.about),
        "notes": list(report.notes),
        "classes": json.loads(scheme_to_json(report.scheme)),
        "protocols": {quality.protocol: _described(quality, report) for quality in report.qualities},
        "transitions": None if report.transitions is None else _classes(report.transitions, report),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_markdown(report: Report) -> str:
    """Tables to paste: shares in percent, 95 % intervals in brackets."""
    rows = [row for row in rows_of(report) if row.name]
    tables = [
        _class_table(protocol, [row for row in rows if row.protocol == protocol])
        for protocol in dict.fromkeys(row.protocol for row in rows)
    ]
    parts = [f"# {report.title}", _about_lines(report), _headlines(report), *tables]
    parts += ["\n".join(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n\n".join(parts) + "\n"


def with_interval(value: float | None, interval: Interval | None) -> str:
    """A share in percent with its interval: "23.94 [22.80, 25.11]"."""
    if interval is None:
        return percent(value)
    return f"{percent(value)} [{percent(interval.low)}, {percent(interval.high)}]"


def _headlines(report: Report) -> str:
    numbers = dict.fromkeys(number for quality in report.qualities for number in quality.numbers)
    header = ["%", *(quality.protocol for quality in report.qualities)]
    body = [[TITLES[number], *(_cell(quality, number) for quality in report.qualities)] for number in numbers]
    return markdown_table(header, body)


def _cell(quality: Quality, number: str) -> str:
    if number not in quality.numbers:
        return ""
    return with_interval(quality.numbers[number], quality.intervals.get(number))


def _class_table(protocol: str, rows: Sequence[Row]) -> str:
    values = {(row.name, row.number): row for row in rows}
    body = [
        [name, percent(values[name, "IoU"].value), percent(values[name, "F1"].value),
         f"{values[name, 'IoU'].true_pixels:,}"]
        for name in dict.fromkeys(row.name for row in rows)
    ]  # fmt: skip
    return markdown_table([f"% ({protocol})", "IoU", "F1", "true pixels"], body)


def _about_lines(report: Report) -> str:
    return "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in report.about.items())


def markdown_table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of names on the left and numbers on the right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _described(quality: Quality, report: Report) -> dict[str, Any]:
    return {
        "images": quality.images,
        "pixels": quality.pixels,
        "changed_pixels_without_a_class": quality.undefined,
        "numbers": quality.numbers,
        "intervals_95": {name: None if each is None else list(each) for name, each in quality.intervals.items()},
        "classes": _classes(quality, report),
        "matrix": {"rows": "predicted", "columns": "true", "pixels": _ints(quality)},
    }


def _classes(quality: Quality, report: Report) -> list[dict[str, Any]]:
    names = names_of(quality, report.scheme)
    return [
        {"id": each.number, "name": names[each.number], "iou": each.iou, "f1": each.f1,
         "true_pixels": each.true_pixels, "predicted_pixels": each.predicted_pixels}
        for each in quality.classes
        if each.true_pixels + each.predicted_pixels
    ]  # fmt: skip


def _ints(quality: Quality) -> list[list[int]]:
    return [[int(value) for value in row] for row in quality.matrix]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
