"""Inference of a model that nothing faster is made of: its modules as they are, under autocast for 16 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from geofcs.model.inference.folding import exact_convolutions
from geofcs.model.interface import ChangeModel, Logits


class PlainModules:
    """A model in eval mode; logits are float32."""

    def __init__(self, model: ChangeModel, dtype: torch.dtype) -> None:
        self._model, self._dtype = model, dtype

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        """What the model gives."""
        # Casts of weights are part of what a CUDA graph records, so they must not be kept from one call to the next.
        with (
            exact_convolutions(),
            torch.autocast(t1.device.type, self._dtype, enabled=self._dtype != torch.float32, cache_enabled=False),
        ):
            logits = self._model(t1, t2)
        return Logits(*(None if each is None else each.float() for each in logits))  # type: ignore[arg-type]
