"""Test-time augmentation: a model's answer averaged over the four flips of its images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from geofcs.model.interface import Logits

FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""The axes turned round: none, left-right, up-down, both."""


Model = Callable[[Tensor, Tensor], Logits]


def as_it_is(model: Model, t1: Tensor, t2: Tensor) -> Logits:
    """The model's own answer."""
    return model(t1, t2)


def mean_over_flips(model: Model, t1: Tensor, t2: Tensor) -> Logits:
    """Logits, float32, whose softmax is the mean of the four flips' probabilities; change has two channels.

    Takes four times as long as `model(t1, t2)`.
    """
    sums: list[Tensor | None] = [None, None, None]
    for axes in FLIPS:
        answer = model(t1.flip(axes), t2.flip(axes))
        for part, logits in enumerate(answer):
            if logits is not None:
                likely = _probabilities(logits.float()).flip(axes)
                before = sums[part]
                sums[part] = likely if before is None else before + likely
    change, *covers = (None if each is None else _log(each / len(FLIPS)) for each in sums)
    assert change is not None  # every model answers on change
    return Logits(change, *covers)


def _probabilities(logits: Tensor) -> Tensor:
    if logits.shape[1] == 1:
        likely = logits.sigmoid()
        return torch.cat([1 - likely, likely], 1)
    return logits.softmax(1)


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


TTA: dict[str, Callable[[Model, Tensor, Tensor], Logits]] = {"none": as_it_is, "flips": mean_over_flips}
"""Ways of test-time augmentation, by the name that --tta takes."""
