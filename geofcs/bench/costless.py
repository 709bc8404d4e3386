"""A model that answers at once: what is left of a run's time is not the model's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geofcs.model.config import Colour
from geofcs.model.interface import Scores

SMOOTHNESS = 14.0
"""Pixels, standard deviation: with it a tile of 512 shows about a hundred changed regions on 6 % of its pixels."""

CONTRAST = 6.0
"""Logits per standard deviation of a smooth field; scores take every percent between 0 and 100."""

PLACES = 64
"""The answer is larger than a tile by so many pixels, and a tile gets some part of it: else strips, in which tiles lie
side by side, would compress far better than real ones."""

CHANGED_BEYOND = 1.6
"""Standard deviations at which the change score is a half."""


@dataclass(frozen=True)
class CostlessSource:
    """Stands for the trained model that a run was planned with, as `geofcs.scoring.ModelSource` of so many covers."""

    weights: Path
    tile: int
    covers: int
    device: str = "cpu"
    precision: str = "fp32"
    tta: str = "none"

    def load(self) -> CostlessScorer:
        """The scorer; its answer is made once per process."""
        return CostlessScorer(_answer(self.tile + PLACES, self.covers))

    def in_float32(self) -> None:
        """It computes in nothing else."""


class CostlessScorer:
    """Gives parts of scores that were made beforehand; of a batch it looks at one pixel to choose which."""

    device = torch.device("cpu")
    mean_colours: tuple[Colour, Colour] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    def __init__(self, answer: Scores) -> None:
        self._answer = answer

    def check(self) -> None:
        """It has no weights."""

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Scores of a batch, all one piece of memory."""
        top, left = int(t1[0, 0, 0, 0]) % PLACES, int(t2[0, 0, 0, 0]) % PLACES
        here = slice(top, top + t1.shape[2]), slice(left, left + t1.shape[3])
        change, *covers = self._answer
        return Scores(
            change[:, *here].expand(len(t1), -1, -1),
            *(None if each is None else each[:, :, *here].expand(len(t1), -1, -1, -1) for each in covers),
        )


@lru_cache(1)
def _answer(side: int, covers: int) -> Scores:
    """Smooth scores of so many pixels a side, so that products compress as real ones do: batch axis of one."""
    random = np.random.default_rng(0)
    change = 1 / (1 + np.exp(CONTRAST * (CHANGED_BEYOND - _smooth(random, side))))
    scores = [change[None]]
    for _date in range(2):
        powers = np.exp(CONTRAST * np.stack([_smooth(random, side) for _ in range(covers)]))
        scores.append((powers / powers.sum(0))[None])
    return Scores(*(torch.from_numpy(each.astype(np.float32)) for each in scores))


def _smooth(random: np.random.Generator, side: int) -> npt.NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter  # part of making the answer, not of what every run loads

    field = gaussian_filter(random.standard_normal((side, side)), SMOOTHNESS, mode="wrap")
    return np.asarray(field / field.std())
