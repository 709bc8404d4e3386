"""What an evaluation found, and its numbers as rows: the one place that all tables are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from geofcs.classes import ClassScheme
from geofcs.training.quality import BINARY_CHANGE, PER_DATE, ClassQuality, Interval, Quality

TITLES = {
    "oa": "OA", "oa_pooled": "OA, pooled", "f_scd": "F_SCD", "miou": "mIoU", "sek": "SeK",
    "kappa0": "kappa without unchanged", "kappa": "kappa", "iou_changed": "IoU of change",
    "iou_unchanged": "IoU of no change", "precision": "precision of change", "recall": "recall of change",
    "f1": "F1 of change",
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """The outcome of one evaluation.

    `qualities` are those of the protocols asked for, the first one first. `transitions` is the from-to matrix, whose
    classes are codes; None for binary maps and for schemes with too many codes. `about` says what was evaluated how.
    """

    title: str
    scheme: ClassScheme
    qualities: tuple[Quality, ...]
    transitions: Quality | None
    about: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """A report, and what its numbers cost: parameters, and `speed` in `unit` as this run measured it (None if n/a)."""

    report: Report
    parameters: int
    speed: float | None
    unit: str


class Row(NamedTuple):
    """One number: shares 0 to 1, None where it is not available."""

    protocol: str
    number: str
    name: str
    value: float | None
    interval: Interval | None
    true_pixels: int | None


def rows_of(report: Report) -> Iterator[Row]:
    """Every number: the headlines of each protocol, then per class, then per transition."""
    for quality in report.qualities:
        for number, value in quality.numbers.items():
            yield Row(quality.protocol, TITLES[number], "", value, quality.intervals.get(number), None)
    for quality in report.qualities:
        if quality.protocol == PER_DATE:
            yield from _class_rows(quality, _names(quality, report.scheme))
    if report.transitions is not None:
        yield from _class_rows(report.transitions, _names(report.transitions, report.scheme))


def names_of(quality: Quality, scheme: ClassScheme) -> list[str]:
    """What the rows and columns of a matrix are called."""
    return [_names(quality, scheme)[number] for number in range(len(quality.matrix))]


def _names(quality: Quality, scheme: ClassScheme) -> dict[int, str]:
    if quality.protocol == BINARY_CHANGE:
        return {0: "no change", 1: "changed"}
    if quality.protocol == PER_DATE:
        return {0: "no change", **{number: scheme.cover_name(number) for number in range(1, scheme.count)}}
    return scheme.code_names


def _class_rows(quality: Quality, names: Mapping[int, str]) -> Iterator[Row]:
    """IoU and F1 of each class that occurs; what neither the truth nor the model knows has no row."""
    for each in quality.classes:
        if _occurs(each):
            yield Row(quality.protocol, "IoU", names[each.number], each.iou, None, each.true_pixels)
            yield Row(quality.protocol, "F1", names[each.number], each.f1, None, each.true_pixels)


def _occurs(each: ClassQuality) -> bool:
    return each.true_pixels + each.predicted_pixels > 0


def percent(value: float | None, digits: int = 2) -> str:
    """A share in percent, or n/a."""
    return "n/a" if value is None else f"{100 * value:.{digits}f}"
