"""From logits to class maps, in the two variants that there are: the published one to evaluate, ours for products."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from geofcs.classes import NO_CHANGE
from geofcs.model.interface import Logits

PUBLISHED, CONSISTENT = "published", "consistent"


class Maps(NamedTuple):
    """What a model says of each pixel, (b, h, w) uint8: changed or not (1, 0), and class ids, 0 = no change.

    `t1` and `t2` are None in a binary model.
    """

    change: Tensor
    t1: Tensor | None
    t2: Tensor | None

    def at(self, number: int) -> Maps:
        """The maps (h, w) of one image of the batch."""
        t1, t2 = (None if each is None else each[number] for each in (self.t1, self.t2))
        return Maps(self.change[number], t1, t2)


def maps_of(logits: Logits, variant: str = PUBLISHED) -> Maps:
    """The maps that logits (or logarithms of probabilities) stand for.

    "published": the highest of all K classes where changed, which may be "no change". "consistent": the highest of the
    classes 1..K-1, so that every changed pixel has a class at both dates.
    """
    changed = _changed(logits.change)
    highest = VARIANTS[variant]
    covers = (None if date is None else _where_changed(highest(date), changed) for date in (logits.t1, logits.t2))
    return Maps(changed.to(torch.uint8), *covers)


def _changed(logits: Tensor) -> Tensor:
    """(b, h, w) bool: change is the higher of two channels, or one sigmoid logit is above 0."""
    return logits[:, 0] > 0 if logits.shape[1] == 1 else logits[:, 1] > logits[:, 0]


def _where_changed(ids: Tensor, changed: Tensor) -> Tensor:
    return torch.where(changed, ids, NO_CHANGE).to(torch.uint8)


def _highest_of_all(logits: Tensor) -> Tensor:
    return logits.argmax(1)


def _highest_cover(logits: Tensor) -> Tensor:
    return logits[:, 1:].argmax(1) + 1


VARIANTS: dict[str, Callable[[Tensor], Tensor]] = {PUBLISHED: _highest_of_all, CONSISTENT: _highest_cover}
