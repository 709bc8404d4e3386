"""One labelled pair as plain arrays, and what a dataset of them is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geofcs.classes import ClassScheme

Image = npt.NDArray[np.uint8]


class Sample(NamedTuple):
    """Images `t1`, `t2` (3, h, w) RGB 0-255; labels (h, w): `change` 0 or 1, `label1`, `label2` class ids; all uint8.

    Class id 0 is no change, a label of 255 is ignored. The class labels of a binary dataset, which knows none, are 255
    throughout.
    """

    t1: Image
    t2: Image
    change: Image
    label1: Image
    label2: Image
    name: str


class Pairs(Protocol):
    """A set of labelled pairs; it can be pickled, and read by several threads or processes at once."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Read one; raises a `GeofcsError` that names file, pixel and value."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Labelled pairs, divided; `kind` is the layout, `notes` are sentences for the user. A set may be empty."""

    folder: Path
    kind: str
    scheme: ClassScheme
    train: Pairs
    val: Pairs
    test: Pairs
    notes: tuple[str, ...]
