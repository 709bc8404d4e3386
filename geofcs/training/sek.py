"""The SeK term of Mamba-FCS's loss (its paper, section III-E): a soft SeK, finite, its gradient pointing the right way.

It takes the logarithm of a kappa that may be negative: below `SMALLEST_KAPPA` it goes on linearly, with the slope it
has there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.classes import IGNORE

SMALLEST_KAPPA = 0.01
"""Below it -log(kappa) is continued by its tangent: its slope, a hundred, is as steep as the term ever gets."""

SMALLEST_MASS = 1e-12
"""Below it, what the soft confusion holds is not blown up to one: its gradient would overflow."""

EPSILON = 1e-7
IOU_EPSILON = 1e-6
IOU_EXPONENT = 1.5
IOU_WEIGHT = 0.5


def sek_loss(scores: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], absent_classes: bool) -> Tensor:
    """-log of a soft SeK - 0.5 log of its IoU, at least 0; 0 where nothing changed.

    `scores` are both dates' probabilities (b, K, h, w), `labels` (b, h, w) their ids 1..K-1 in changed pixels and 255
    everywhere else.
    """
    dates = [
        _kappa_and_iou(likely, ids, absent_classes)
        for likely, ids in zip(scores, labels, strict=True)
        if bool((ids != IGNORE).any())
    ]
    if not dates:
        return scores[0].flatten()[:0].sum() + scores[1].flatten()[:0].sum()
    kappa, iou = (torch.stack(each).mean() for each in zip(*dates, strict=True))
    gain = (IOU_EXPONENT * iou).exp()
    above = kappa.clamp(min=SMALLEST_KAPPA)
    slope = (gain / (SMALLEST_KAPPA * gain + EPSILON)).detach()
    value = -(above * gain + EPSILON).log() + slope * (above - kappa) - IOU_WEIGHT * (iou + IOU_EPSILON).log()
    return value.clamp(min=0)


def _kappa_and_iou(scores: Tensor, labels: Tensor, absent_classes: bool) -> tuple[Tensor, Tensor]:
    """Soft kappa and weighted soft IoU of one date over the classes 1..K-1."""
    known = labels != IGNORE
    likely = scores[:, 1:].movedim(1, -1)[known]  # (n, K - 1)
    truth = F.one_hot(labels[known] - 1, scores.shape[1] - 1).to(likely.dtype)
    confusion = likely.T @ truth  # rows predicted, columns true
    kappa = _kappa(confusion / confusion.sum().clamp(min=SMALLEST_MASS))
    common, counts = confusion.diagonal(), truth.sum(0)
    iou = common / (likely.sum(0) + counts - common + EPSILON)
    weight = 1 / (counts + 1 + EPSILON).log()
    if not absent_classes:
        weight = weight * (counts > 0)
    return kappa, (iou * weight / weight.sum()).sum()


def _kappa(shares: Tensor) -> Tensor:
    """Cohen's kappa of a confusion matrix that sums to one, in sums of terms that do not cancel."""
    predicted, true = shares.sum(1), shares.sum(0)
    agreed_beyond_chance = (shares.diagonal() - predicted * true).sum()
    disagreed_by_chance = (predicted * (1 - true)).sum()
    return agreed_beyond_chance / (disagreed_by_chance + EPSILON)
