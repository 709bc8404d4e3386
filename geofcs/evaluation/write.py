"""What an evaluation leaves in its folder: tables, matrices and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geofcs.evaluation import comparison_tables
from geofcs.evaluation.comparison import Comparison
from geofcs.evaluation.comparison_figure import comparison_figure
from geofcs.evaluation.figures import matrix_figure, save, table_figure
from geofcs.evaluation.report import Report, names_of
from geofcs.evaluation.tables import as_csv, as_json, as_markdown, matrix_csv

TEXTS: dict[str, Callable[[Report], str]] = {"metrics.json": as_json, "metrics.csv": as_csv, "metrics.md": as_markdown}

COMPARISONS: dict[str, Callable[[Comparison], str]] = {
    "comparison.txt": comparison_tables.as_text,
    "comparison.md": comparison_tables.as_markdown,
    "comparison.csv": comparison_tables.as_csv,
    "comparison.json": comparison_tables.as_json,
}


def write_report(folder: Path, report: Report) -> None:
    """metrics.json, metrics.csv, metrics.md and metrics.png, and a matrix as CSV and PNG for each protocol."""
    for name, text in TEXTS.items():
        (folder / name).write_text(text(report), encoding="utf-8")
    save(table_figure(report), folder / "metrics.png")
    matrices = {quality.protocol: quality for quality in (*report.qualities, report.transitions) if quality is not None}
    for protocol, quality in matrices.items():
        names = names_of(quality, report.scheme)
        (folder / f"confusion_{protocol}.csv").write_text(matrix_csv(quality, names), encoding="utf-8")
        save(matrix_figure(quality, report), folder / f"confusion_{protocol}.png")


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """comparison.txt, .md, .csv, .json and .png, and each model's own report in a folder of its name."""
    for name, text in COMPARISONS.items():
        (folder / name).write_text(text(comparison), encoding="utf-8")
    save(comparison_figure(comparison), folder / "comparison.png")
    for name, report in comparison.reports.items():
        (folder / name).mkdir(exist_ok=True)
        write_report(folder / name, report)
