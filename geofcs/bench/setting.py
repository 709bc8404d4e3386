"""Which model is timed, on what images, in which precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofcs.model.build import build
from geofcs.model.config import MambaFCSConfig, mamba_fcs, pico
from geofcs.model.fcs import MambaFCS

CLASSES = 7
"""As SECOND has them."""


@dataclass(frozen=True)
class Setting:
    """A model by name, the pixels a side and pairs of a call, and the precision."""

    model: str
    size: int
    batch: int
    precision: str

    def network(self) -> MambaFCS:
        """The model with random weights, on the CPU."""
        return build(sizes_of(self.model), seed=0).eval()

    def images(self, device: str) -> tuple[Tensor, Tensor]:
        """Random images of both dates."""
        shape = (self.batch, 3, self.size, self.size)
        return torch.rand(shape, device=device) * 255, torch.rand(shape, device=device) * 255


def sizes_of(model: str) -> MambaFCSConfig:
    """A model by its encoder's name, or "pico"."""
    return pico(CLASSES) if model == "pico" else mamba_fcs(model, CLASSES)
