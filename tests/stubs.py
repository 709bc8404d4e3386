"""Scenes and models that cost nothing and whose answers are known, for tests of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from torch import Tensor

from geofcs.grid import Grid
from geofcs.model.interface import Scores
from geofcs.mosaic import Mosaic
from geofcs.scene import PairPixels
from geofcs.strips import Strip

COVERS = 6
"""Land covers of SECOND."""


@dataclass(frozen=True)
class StubPair:
    """A scene whose pixels are their own coordinates: t1 holds (row, col, 0), t2 (col, row, 0).

    Pixels of the rows and columns [hole, hole + 40) are invalid; without a hole all are valid.
    """

    height: int
    width: int
    hole: int | None = None

    @property
    def grid(self) -> Grid:
        return Grid(CRS.from_epsg(32631), Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), self.height, self.width)

    def open(self) -> StubReader:
        return StubReader(self)


@dataclass(frozen=True)
class StubReader:
    """Reads a `StubPair`."""

    pair: StubPair

    def __enter__(self) -> StubReader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def read(self, window: Window) -> PairPixels:
        rows, cols = np.mgrid[
            window.row_off : window.row_off + window.height, window.col_off : window.col_off + window.width
        ].astype(np.float32)
        zero = np.zeros_like(rows)
        valid = np.ones(rows.shape, np.bool_)
        if self.pair.hole is not None:
            inside = range(self.pair.hole, self.pair.hole + 40)
            valid = ~(np.isin(rows, inside) & np.isin(cols, inside))
        return PairPixels(np.stack([rows, cols, zero]), np.stack([cols, rows, zero]), valid)


@dataclass(frozen=True)
class StubScorerSource:
    """Loads a `StubScorer`."""

    divisor: float

    def load(self) -> StubScorer:
        return StubScorer(self.divisor)

    def in_float32(self) -> StubScorerSource | None:
        return None


class StubScorer:
    """Change score = T1's second band / divisor; the class follows from the row at T1 and the column at T2."""

    device = torch.device("cpu")
    mean_colours = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    def __init__(self, divisor: float) -> None:
        self._divisor = divisor

    def check(self) -> None:
        pass

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Scores of a batch."""
        rows, cols = t1[:, 0], t2[:, 0]
        return Scores(t1[:, 1] / self._divisor, one_hot(rows), one_hot(cols))


def one_hot(coordinate: Tensor) -> Tensor:
    """Scores (b, covers, h, w) of which the one of class coordinate // 50 % covers is 1."""
    chosen = (coordinate // 50 % COVERS).long()
    return torch.nn.functional.one_hot(chosen, COVERS).movedim(-1, 1).float()


class Nobody:
    """A block's watch that does not care."""

    def tiles_done(self, count: int) -> None:
        pass

    def strip_done(self) -> None:
        pass


def strip_layers(folder: Path, strip: Strip, bands: int) -> np.ndarray:
    """All bands of a strip, (bands, h, w), which are what was written."""
    rows, cols = slice(strip.top, strip.top + strip.height), slice(strip.left, strip.left + strip.width)
    return Mosaic(folder, [strip]).read(range(1, bands + 1), rows, cols, np.uint16)


class Silent:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total = self.done = 0

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:  # noqa: ARG002
        assert self.done == self.total, f"the stage before {name} was not told to its end"
        self.total, self.done = total, 0

    def advance(self, units: int) -> None:
        self.done += units
