"""One labelled pair as it leaves a dataset: plain arrays."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

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
