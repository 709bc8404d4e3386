"""What every change model answers: logits, and the scores that the rest of geofcs works with."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from geofcs.model.config import ChangeConfig

CHANGE_CLASSES = 2
"""Channels of change logits for a softmax: unchanged, changed."""


class Logits(NamedTuple):
    """A model's raw answer at the size of its input.

    `change` is (b, 2, h, w) for a softmax or (b, 1, h, w) for a sigmoid; `t1` and `t2` are (b, K, h, w), channel 0
    being "no change", or None in a binary model.
    """

    change: Tensor
    t1: Tensor | None
    t2: Tensor | None


class ChangeModel(nn.Module):
    """A model of any architecture: two batches of images (b, 3, h, w), RGB 0-255, to logits.

    Parts of the same name do the same thing: `encoder`, and `land_cover_head`, whose outputs are the classes.
    """

    config: ChangeConfig
    encoder: nn.Module


class Scores(NamedTuple):
    """Probabilities, float32: `change` (b, h, w), `t1` and `t2` (b, K - 1, h, w) of the land covers 1..K-1.

    The softmax of the land covers runs over all K classes; class 0 is left out after it, so they need not sum to one.
    """

    change: Tensor
    t1: Tensor | None
    t2: Tensor | None


def scores_of(logits: Logits) -> Scores:
    """The probabilities that logits stand for, computed in float32."""
    return Scores(_change_score(logits.change), _cover_scores(logits.t1), _cover_scores(logits.t2))


def _change_score(logits: Tensor) -> Tensor:
    logits = logits.float()
    return logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1]


def _cover_scores(logits: Tensor | None) -> Tensor | None:
    return None if logits is None else logits.float().softmax(1)[:, 1:]
