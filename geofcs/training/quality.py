"""How good a change map is, in numbers, from its confusion matrix; None (n/a) where a denominator is 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer[Any]] | npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]

PER_DATE, FROM_TO, BINARY_CHANGE = "per-date", "from-to", "binary"
PROTOCOLS = (PER_DATE, FROM_TO)
FROM_TO_PUBLISHED = "from-to-published"
"""From-to as ChangeMamba's evaluation counts it, with what happens there where a changed pixel is called class 0."""

SCD_NUMBERS = (
    "oa", "oa_pooled", "f_scd", "miou", "sek", "kappa0", "kappa", "iou_changed", "iou_unchanged", "precision",
    "recall", "f1",
)  # fmt: skip
BINARY_NUMBERS = ("oa", "oa_pooled", "miou", "kappa", "iou_changed", "iou_unchanged", "precision", "recall", "f1")


class Interval(NamedTuple):
    """Where a number lies in 95 of 100 sets of images like this one."""

    low: float
    high: float


@dataclass(frozen=True)
class ClassQuality:
    """One class or one from-to code: shares 0 to 1, and pixels truly of it and predicted."""

    number: int
    iou: float | None
    f1: float | None
    true_pixels: int
    predicted_pixels: int


@dataclass(frozen=True)
class Quality:
    """The numbers of one evaluation by one protocol, shares from 0 to 1 (kappas and SeK may be negative).

    `oa` is the mean over images, as published, `oa_pooled` that over pixels. `kappa` is of the whole matrix, `kappa0`
    of the one without pixels that are and are called unchanged; precision, recall and F1 are of change. `sek`, `f_scd`
    and `kappa0` mean nothing for binary maps and are None there. `undefined` counts changed pixels whose labels lack a
    class at a date: no from-to code stands for them. If images were kept apart there are `intervals`, and `draws`: each
    number in each of a thousand sets of images, the same sets for all models that saw as many images.
    """

    protocol: str
    images: int
    pixels: int
    undefined: int
    oa: float | None
    oa_pooled: float | None
    f_scd: float | None
    miou: float | None
    sek: float | None
    kappa0: float | None
    kappa: float | None
    iou_changed: float | None
    iou_unchanged: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    classes: tuple[ClassQuality, ...]
    matrix: Counts
    intervals: dict[str, Interval | None]
    draws: Mapping[str, Values] = field(default_factory=dict, repr=False)

    @property
    def numbers(self) -> dict[str, float | None]:
        """The numbers that the protocol has, by name, in the order of tables."""
        names = BINARY_NUMBERS if self.protocol == BINARY_CHANGE else SCD_NUMBERS
        return {name: getattr(self, name) for name in names}


def quality_of(protocol: str, matrix: Counts, oa: float, images: int, undefined: int = 0) -> Quality:
    """The numbers that a confusion matrix (rows predicted, columns true; 0 = no change) and a mean OA amount to."""
    values = {name: _or_none(float(value)) for name, value in numbers_of(matrix).items()}
    if protocol == BINARY_CHANGE:
        values |= dict.fromkeys(("sek", "f_scd", "kappa0"))
    return Quality(
        protocol=protocol, images=images, pixels=int(matrix.sum()), undefined=undefined, oa=_or_none(oa),
        classes=tuple(_classes(matrix)), matrix=matrix, intervals={}, draws={}, **values,
    )  # fmt: skip


def numbers_of(matrix: Counts) -> dict[str, Values]:
    """Everything but OA of matrices (..., C, C), each (...), NaN where a denominator is 0 (spec of both protocols)."""
    q = matrix.astype(np.float64)
    unchanged, missed, false = q[..., 0, 0], q[..., 0, 1:].sum(-1), q[..., 1:, 0].sum(-1)
    hit, right = q[..., 1:, 1:].sum((-2, -1)), np.trace(q[..., 1:, 1:], axis1=-2, axis2=-1)
    iou_changed = _share(hit, hit + missed + false)
    iou_unchanged = _share(unchanged, unchanged + missed + false)
    precision, recall = _share(right, hit + false), _share(right, hit + missed)
    without = q.copy()
    without[..., 0, 0] = 0
    kappa0 = _kappa(without)
    return {
        "oa_pooled": _share(unchanged + right, q.sum((-2, -1))),
        "f_scd": np.where(np.isnan(precision + recall), np.nan, _share(2 * right, 2 * hit + false + missed)),
        "miou": (iou_unchanged + iou_changed) / 2,
        "sek": kappa0 * np.exp(iou_changed - 1),
        "kappa0": kappa0,
        "kappa": _kappa(q),
        "iou_changed": iou_changed,
        "iou_unchanged": iou_unchanged,
        "precision": _share(hit, hit + false),
        "recall": _share(hit, hit + missed),
        "f1": _share(2 * hit, 2 * hit + false + missed),
    }


def drawn_numbers(matrices: Counts, oa: Values, draws: int = 1000, seed: int = 0) -> dict[str, Values]:
    """Every number in `draws` sets of images drawn anew: matrices (n, C, C) and OA (n,), one per image; NaN where n/a.

    Which images a set holds depends on n and the seed alone, so differences of two models' numbers are of the same
    images. One image says nothing of others: {}.
    """
    images, side = len(matrices), matrices.shape[-1]
    if images < 2:
        return {}
    dice = np.random.default_rng(seed)
    times = dice.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)
    seen = ~np.isnan(oa)
    drawn = {"oa": _share(times[:, seen] @ oa[seen], times[:, seen].sum(1))}
    return drawn | numbers_of((times @ matrices.reshape(images, -1).astype(np.float64)).reshape(draws, side, side))


def interval_of(drawn: Values) -> Interval | None:
    """The 95 % percentile interval of a number's draws; None where it is n/a in more than one draw of twenty."""
    known = drawn[~np.isnan(drawn)]
    if len(known) < 0.95 * len(drawn):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return Interval(float(low), float(high))


def _classes(matrix: Counts) -> Sequence[ClassQuality]:
    right, predicted, true = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    iou, f1 = _share(right, predicted + true - right), _share(2 * right, predicted + true)
    return [
        ClassQuality(number, _or_none(float(iou[number])), _or_none(float(f1[number])), int(true[number]),
                     int(predicted[number]))
        for number in range(len(matrix))
    ]  # fmt: skip


def _kappa(q: Values) -> Values:
    """Cohen's kappa of matrices (..., C, C)."""
    total = q.sum((-2, -1))
    observed = _share(np.trace(q, axis1=-2, axis2=-1), total)
    expected = _share((q.sum(-1) * q.sum(-2)).sum(-1), total * total)
    return _share(observed - expected, 1 - expected)


def _share(part: Any, whole: Any) -> Values:
    """part / whole, NaN where whole is 0."""
    whole = np.asarray(whole, np.float64)
    shares: Values = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=shares, where=whole != 0)
    return shares


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
