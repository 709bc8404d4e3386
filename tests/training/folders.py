"""Small made-up datasets in the published layouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from geofcs.classes import LANDSAT, SECOND, ClassScheme

SIDE = 48

Array = npt.NDArray[Any]

CODES = {(0, 0): 0, (1, 2): 1, (1, 3): 2, (2, 1): 3, (2, 3): 4, (2, 4): 5, (3, 1): 6, (3, 2): 7, (4, 1): 8, (4, 2): 9}
"""Landsat-SCD's codes by ids."""


class Made(NamedTuple):
    """One pair: images (h, w, 3), ids (h, w)."""

    t1: Array
    t2: Array
    label1: Array
    label2: Array


def made(seed: int, scheme: ClassScheme = SECOND, side: int = SIDE) -> Made:
    """A pair of smooth noise in which two rectangles changed, of the transitions that Landsat-SCD knows."""
    dice = np.random.default_rng(seed)
    coarse = dice.integers(20, 200, (side // 8 + 1, side // 8 + 1, 3))
    t1 = (np.kron(coarse, np.ones((8, 8, 1), int))[:side, :side] + dice.integers(0, 30, (side, side, 3))).astype(
        np.uint8
    )
    t2, label1, label2 = t1.copy(), np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    known = (
        [pair for pair in CODES if pair[0]] if scheme is LANDSAT else [(a, b) for a in range(1, 7) for b in range(1, 7)]
    )
    for _ in range(2):
        top, left = dice.integers(0, side - 16, 2)
        where = slice(top, top + 12), slice(left, left + 16)
        label1[where], label2[where] = known[dice.integers(len(known))]
        t2[where] = dice.integers(0, 255, (12, 16, 3))
    return Made(t1, t2, label1, label2)


def coloured(ids: Array, scheme: ClassScheme) -> Array:
    """Ids in the palette's colours."""
    return np.array([(255, 255, 255), *(cover.colour for cover in scheme.land_covers)], np.uint8)[ids]


def coded(pair: Made) -> Array:
    """Landsat-SCD's from-to codes of a pair's ids."""
    codes = np.zeros(pair.label1.shape, np.uint8)
    for (before, after), code in CODES.items():
        codes[(pair.label1 == before) & (pair.label2 == after)] = code
    return codes


def save(path: Path, pixels: Array) -> Path:
    """Write an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


def second_as_distributed(folder: Path, pairs: Iterable[tuple[str, Made]]) -> None:
    """im1 im2 label1 label2, labels in colours."""
    for name, pair in pairs:
        for part, pixels in zip(
            ("im1", "im2", "label1", "label2"),
            (pair.t1, pair.t2, coloured(pair.label1, SECOND), coloured(pair.label2, SECOND)),
            strict=True,
        ):
            save(folder / part / f"{name}.png", pixels)


def with_ids(folder: Path, pairs: Iterable[tuple[str, Made]]) -> None:
    """A B labelA labelB, labels as ids."""
    for name, pair in pairs:
        for part, pixels in zip(("A", "B", "labelA", "labelB"), pair, strict=True):
            save(folder / part / f"{name}.png", pixels)


def as_read_by_the_authors(folder: Path, pairs: Iterable[tuple[str, Made]]) -> None:
    """T1 T2 GT_T1 GT_T2 GT_CD."""
    for name, pair in pairs:
        change = np.where(pair.label1 > 0, 255, 0).astype(np.uint8)
        for part, pixels in zip(("T1", "T2", "GT_T1", "GT_T2", "GT_CD"), (*pair, change), strict=True):
            save(folder / part / f"{name}.png", pixels)


def with_one_label(folder: Path, pairs: Iterable[tuple[str, Made]], *, binary: bool) -> None:
    """A B label: Landsat-SCD's codes, or LEVIR-CD's 0 and 255."""
    for name, pair in pairs:
        label = np.where(pair.label1 > 0, 255, 0).astype(np.uint8) if binary else coded(pair)
        for part, pixels in zip(("A", "B", "label"), (pair.t1, pair.t2, label), strict=True):
            save(folder / part / f"{name}.png", pixels)


def several(names: Iterable[str], scheme: ClassScheme = SECOND) -> list[tuple[str, Made]]:
    """A made-up pair for each name."""
    return [(name, made(number, scheme)) for number, name in enumerate(names)]


def write_list(path: Path, names: Iterable[str], ending: str = ".png") -> None:
    """A list of names, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}{ending}\n" for name in names), encoding="utf-8")
