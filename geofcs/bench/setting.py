"""Which model is timed, on what images, in which precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofcs.errors import UsageError
from geofcs.model.build import ARCHITECTURES, build
from geofcs.model.config import ChangeConfig
from geofcs.model.interface import ChangeModel
from geofcs.model.sizes import CHANGEMAMBAS, ENCODERS, PICO

CLASSES = 7
"""As SECOND has them."""


@dataclass(frozen=True)
class Setting:
    """A model by name, the pixels a side and pairs of a call, and the precision."""

    model: str
    size: int
    batch: int
    precision: str

    def network(self) -> ChangeModel:
        """The model with random weights, on the CPU."""
        return build(sizes_of(self.model), seed=0).eval()

    def images(self, device: str) -> tuple[Tensor, Tensor]:
        """Random images of both dates."""
        shape = (self.batch, 3, self.size, self.size)
        return torch.rand(shape, device=device) * 255, torch.rand(shape, device=device) * 255


MODELS = {
    **{size: ("mamba-fcs", size) for size in (PICO, *ENCODERS)},
    "mamba-fcs": ("mamba-fcs", "base"),
    "changemamba": ("changemamba", "base"),
    **{f"changemamba-{size}": ("changemamba", size) for size in CHANGEMAMBAS},
    "scannet": ("scannet", "resnet34"),
}
"""Architecture and size by the name that --model takes."""


def sizes_of(model: str) -> ChangeConfig:
    """The config of a model by its name in `MODELS`; `UsageError` lists those there are."""
    if model not in MODELS:
        raise UsageError(f"--model {model}: known are {', '.join(MODELS)}")
    architecture, size = MODELS[model]
    return ARCHITECTURES[architecture].sized(size, CLASSES)
