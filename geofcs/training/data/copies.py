"""Two pairs that show the same ground: whether that is a leak, and in words how they are alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geofcs.training.data.likeness import Likeness
from geofcs.training.data.sample import Image, Sample

LEFT_OUT = "left out"
"""The split of augmented copies that training drops by their names."""


@dataclass(frozen=True)
class Copy:
    """Two pairs that show the same ground, and how they are alike."""

    first: str
    first_split: str
    second: str
    second_split: str
    how: str

    @property
    def leaks(self) -> bool:
        """Whether what is trained on turns up where it is judged."""
        return self.first_split != self.second_split and LEFT_OUT not in (self.first_split, self.second_split)


def how_alike(first: Sample, second: Sample, like: Likeness) -> str:
    """In words: the same, turned, flipped, swapped, sharing ground, or a near copy."""
    for dates, swapped in (((second.t1, second.t2), ""), ((second.t2, second.t1), ", dates swapped")):
        for name, turned in _orientations(dates[0]):
            if np.array_equal(first.t1, turned) and np.array_equal(first.t2, _turn(dates[1], name)):
                return name + swapped
    if like.shared:
        return f"shares {100 * like.shared:.0f} % of its ground: a crop, an overlap or partly covered"
    return "a near copy"


ORIENTATIONS = {
    "the same pixels": (0, False), "turned by 90 degrees": (1, False), "turned by 180 degrees": (2, False),
    "turned by 270 degrees": (3, False), "flipped": (0, True), "flipped and turned by 90 degrees": (1, True),
    "flipped and turned by 180 degrees": (2, True), "flipped and turned by 270 degrees": (3, True),
}  # fmt: skip


def _orientations(image: Image) -> Iterator[tuple[str, Image]]:
    for name in ORIENTATIONS:
        yield name, _turn(image, name)


def _turn(image: Image, name: str) -> Image:
    turns, flipped = ORIENTATIONS[name]
    return np.rot90(image[..., ::-1] if flipped else image, turns, (1, 2))
