"""A batch of labelled pairs as it travels from the loader to the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """`t1`, `t2` (b, 3, h, w) RGB 0-255; `change`, `label1`, `label2` (b, h, w) uint8, 255 ignored; one name a pair."""

    t1: Tensor
    t2: Tensor
    change: Tensor
    label1: Tensor
    label2: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> Batch:
        """The same on a device; does not wait where the memory is pinned."""
        t1, t2, change, label1, label2 = (each.to(device, non_blocking=True) for each in self._tensors())
        return Batch(t1, t2, change, label1, label2, self.names)

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.t1, self.t2, self.change, self.label1, self.label2
