"""SCanNet's pseudo labels: where the best model so far is sure that both dates show one class, that is what is learnt.

As the published code of May 2024 does it; the thresholds of the years before (a median per batch) are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geofcs.classes import NO_CHANGE
from geofcs.training.losses import Labels

PERCENTILE = 0.6
"""Of the confidences of a class in one date of a batch: what its threshold is the mean of."""

FIRST_CONFIDENCE = 0.6
"""What thresholds start from, counting as one pixel."""

LEAST, MOST = 0.5, 0.9
"""Limits of thresholds."""


class Confidence(NamedTuple):
    """Per class (K, float64): sums of percentiles times pixels, and pixels, over all batches and both dates so far."""

    sums: Tensor
    pixels: Tensor

    @staticmethod
    def first(classes: int, device: torch.device) -> Confidence:
        """Before any batch."""
        pixels = torch.ones(classes, dtype=torch.float64, device=device)
        return Confidence(FIRST_CONFIDENCE * pixels, pixels)

    @property
    def thresholds(self) -> Tensor:
        """How sure a model must be of a class, (K), float64."""
        return (self.sums / self.pixels).clamp(LEAST, MOST)

    def having_seen(self, ids: Tensor, confidences: Tensor) -> Confidence:
        """With the classes and confidences, (b, h, w), of one date of a batch."""
        sums, pixels = self.sums.clone(), self.pixels.clone()
        for number in torch.unique(ids).tolist():
            of_class = confidences[ids == number].double()
            sums[number] += of_class.quantile(PERCENTILE) * of_class.numel()
            pixels[number] += of_class.numel()
        return Confidence(sums, pixels)


def with_pseudo_labels(
    labels: Labels, likely: tuple[Tensor, Tensor], confidence: Confidence
) -> tuple[Labels, Confidence]:
    """Labels with the class in unchanged pixels of which a teacher is sure at both dates, and what it was sure of.

    `likely` are the teacher's probabilities of both dates, (b, K, h, w). What is decided about T1 does not know T2 yet.
    """
    if labels.t1 is None or labels.t2 is None:
        return labels, confidence
    agreed, said = labels.change == NO_CHANGE, []
    for each in likely:
        confidences, ids = each.max(1)
        confidence = confidence.having_seen(ids, confidences)
        agreed &= confidences >= confidence.thresholds[ids]
        said.append(ids)
    agreed &= said[0] == said[1]
    t1, t2 = (torch.where(agreed, said[0], date) for date in (labels.t1, labels.t2))
    return labels._replace(t1=t1, t2=t2), confidence
