"""Models prepared for inference: the same numbers as `geofcs.model`'s modules, sooner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from geofcs.model.config import ChangeMambaConfig, MambaFCSConfig, SCanNetConfig
from geofcs.model.inference.changemamba import PreparedChangeMamba
from geofcs.model.inference.fcs import PreparedMambaFCS
from geofcs.model.inference.graphs import Recorded
from geofcs.model.inference.scannet import PreparedSCanNet
from geofcs.model.interface import ChangeModel, Logits

__all__ = ["PREPARED", "Forward", "Recorded", "prepare"]

Forward = Callable[[Tensor, Tensor], Logits]

PREPARED: dict[str, Callable[[Any, torch.dtype], Forward]] = {
    MambaFCSConfig.architecture: PreparedMambaFCS,
    ChangeMambaConfig.architecture: PreparedChangeMamba,
    SCanNetConfig.architecture: PreparedSCanNet,
}
"""What is made of a model, by its architecture."""


def prepare(model: ChangeModel, dtype: torch.dtype) -> Forward:
    """The model, in eval mode, on the device that its weights are on, computing in `dtype`.

    It takes two batches of float32 images (b, 3, h, w), RGB 0-255. On a GPU a result holds until the next call only.
    """
    prepared = PREPARED[model.config.architecture](model, dtype)
    return Recorded(prepared) if next(model.parameters()).is_cuda else prepared
