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
    passes = _Passes(model, dtype)
    recorded: Any = torch.cuda.make_graphed_callables(passes, (t1, t2))
    passes.let_go()
    for name, buffer in model.named_buffers():
        buffer.copy_(kept[name])
    return lambda one, other: _as_logits(recorded(one, other))


class _Passes(nn.Module):
    """The model under autocast, as a tuple without what a binary model leaves out.

    What a pass gives keeps the nodes of its graph, among them those that add up gradients, which belong to the stream
    that was current when they were made: a stream for warming up, or for recording. Found alive by a later pass on
    another stream, they would make both wait for each other at every parameter. So each pass lets go of the one before.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._model, self._dtype = model, dtype
        self._given: tuple[Tensor, ...] = ()

    def let_go(self) -> None:
        """Of the last pass's graph: whoever holds its logits holds numbers only."""
        for logits in self._given:
            logits.detach_()
        self._given = ()

    def forward(self, t1: Tensor, t2: Tensor) -> tuple[Tensor, ...]:
        self.let_go()
        # Casts of weights are part of the recording, so they must not be kept from one pass to the next.
        enabled = self._dtype != torch.float32
        with torch.autocast("cuda", self._dtype, enabled=enabled, cache_enabled=False):
            # Copies, as a view could not be let go of.
            self._given = tuple(logits.clone() for logits in self._model(t1, t2) if logits is not None)
        return self._given


def _as_logits(recorded: tuple[Tensor, ...]) -> Logits:
    change, *covers = recorded
    return Logits(change, *covers) if covers else Logits(change, None, None)
