"""A model's calls recorded as CUDA graphs: replaying one costs a single launch instead of thousands."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from geofcs.model.interface import Logits

WARM_UPS = 1
"""Calls before recording: libraries choose their algorithms and allocate their workspaces in them."""


class Recorded:
    """A model on a GPU, recorded once per input shape, until memory is short.

    A result is overwritten by the next call of the same shape: use it up, or copy it, before.
    """

    def __init__(self, model: Callable[[Tensor, Tensor], Logits]) -> None:
        self._model = model
        self._recordings: dict[torch.Size, _Recording] = {}
        self.records = True

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        """The model's logits for two batches (b, 3, h, w) of one shape."""
        if not self.records:
            return self._model(t1, t2)
        if t1.shape not in self._recordings:
            self._recordings[t1.shape] = _Recording(self._model, t1, t2)
        return self._recordings[t1.shape](t1, t2)

    def stop_recording(self) -> None:
        """Give back what recordings keep, all the memory that a call takes, and call the model itself from now on."""
        self.records = False
        torch.cuda.synchronize()  # the last replay of one of them may be under way
        self._recordings.clear()
        torch.cuda.empty_cache()


@cache
def _beside(device: torch.device) -> torch.cuda.Stream:
    """A stream to warm up in, one for all recordings: libraries keep a workspace for each that they were called in."""
    return torch.cuda.Stream(device)


class _Recording:
    def __init__(self, model: Callable[[Tensor, Tensor], Logits], t1: Tensor, t2: Tensor) -> None:
        self._inputs = [t1.clone(), t2.clone()]
        stream = _beside(t1.device)
        stream.wait_stream(torch.cuda.current_stream(t1.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                model(*self._inputs)
        torch.cuda.current_stream(t1.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # "thread_local": what other threads ask of the GPU meanwhile, to take memory or to copy, is no part of it.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._logits = model(*self._inputs)

    def __call__(self, t1: Tensor, t2: Tensor) -> Logits:
        for kept, given in zip(self._inputs, (t1, t2), strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._logits
