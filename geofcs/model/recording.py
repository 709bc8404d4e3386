"""Training's passes through a model as CUDA graphs: a small batch costs what the GPU needs, not what Python does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from geofcs.model.interface import Logits


def recorded_training(
    model: nn.Module, t1: Tensor, t2: Tensor, dtype: torch.dtype
) -> Callable[[Tensor, Tensor], Logits]:
    """The model in training mode on a GPU, forward and backward recorded for batches of t1's shape.

    `t1`, `t2` (b, 3, h, w) are examples; batch norms' running statistics are left as they were. `dtype` is autocast's;
    float32 means none. The model's parameters must not be replaced afterwards, only changed.
    """
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    recorded: Any = torch.cuda.make_graphed_callables(_Autocast(model, dtype), (t1, t2))
    for name, buffer in model.named_buffers():
        buffer.copy_(kept[name])
    return lambda one, other: _as_logits(recorded(one, other))


class _Autocast(nn.Module):
    """The model under autocast, as a tuple without what a binary model leaves out."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._model, self._dtype = model, dtype

    def forward(self, t1: Tensor, t2: Tensor) -> tuple[Tensor, ...]:
        # Casts of weights are part of the recording, so they must not be kept from one pass to the next.
        enabled = self._dtype != torch.float32
        with torch.autocast("cuda", self._dtype, enabled=enabled, cache_enabled=False):
            return tuple(logits for logits in self._model(t1, t2) if logits is not None)


def _as_logits(recorded: tuple[Tensor, ...]) -> Logits:
    change, *covers = recorded
    return Logits(change, *covers) if covers else Logits(change, None, None)
