"""Models prepared for inference: the same numbers as `geofcs.model`'s modules, sooner."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from geofcs.model.fcs import MambaFCS
from geofcs.model.inference.fcs import PreparedMambaFCS
from geofcs.model.inference.graphs import Recorded
from geofcs.model.interface import Logits

__all__ = ["PreparedMambaFCS", "Recorded", "prepare"]


def prepare(model: MambaFCS, dtype: torch.dtype) -> Callable[[Tensor, Tensor], Logits]:
    """The model, in eval mode, on the device that its weights are on, computing in `dtype`.

    It takes two batches of float32 images (b, 3, h, w), RGB 0-255. On a GPU a result holds until the next call only.
    """
    prepared = PreparedMambaFCS(model, dtype)
    return Recorded(prepared) if next(model.parameters()).is_cuda else prepared
