"""Times training steps: cross-entropy of the three outputs, backward pass, AdamW."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.bench.setting import Setting
from geofcs.bench.timing import Call, Clock, Note
from geofcs.model.interface import ChangeModel, Logits
from geofcs.model.recording import recorded_training
from geofcs.scoring import DTYPES

Passes = Callable[[Tensor, Tensor], Logits]


@dataclass(frozen=True)
class TrainingTimes:
    """Training steps of one batch: how the passes run, seconds per pair, and the most GPU memory in bytes."""

    model: str
    size: int
    batch: int
    precision: str
    passes: str
    seconds: float
    peak_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return asdict(self)


def time_training(setting: Setting, passes: str, clock: Clock, note: Note) -> TrainingTimes:
    """Times of steps whose passes run as `PASSES` names them."""
    note(f"training {setting.model} at {setting.size}, batch {setting.batch}, {setting.precision}, {passes}")
    on_gpu = clock.device == "cuda"
    if on_gpu:
        gc.collect()  # what an earlier step leaves in cycles
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = clock.median([training_step(setting, passes, clock.device)])
    peak = torch.cuda.max_memory_allocated() if on_gpu else None
    return TrainingTimes(**asdict(setting), passes=passes, seconds=seconds / setting.batch, peak_bytes=peak)


def training_step(setting: Setting, passes: str, device: str) -> Call:
    """A step of a fresh model on random images and labels."""
    model = setting.network().to(device).train()
    t1, t2 = setting.images(device)
    shape = (setting.batch, setting.size, setting.size)
    labels = [torch.randint(count, shape, device=device) for count in (2, *[model.config.classes] * 2)]
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    run = PASSES[passes](model, t1, t2, DTYPES[setting.precision])

    def step() -> None:
        outputs = [logits for logits in run(t1, t2) if logits is not None]
        losses = [F.cross_entropy(logits, label) for logits, label in zip(outputs, labels, strict=True)]
        torch.autograd.backward(torch.stack(losses).sum())
        optimizer.step()
        optimizer.zero_grad()

    return step


def _plain(model: ChangeModel, t1: Tensor, _t2: Tensor, dtype: torch.dtype) -> Passes:
    def run(one: Tensor, other: Tensor) -> Logits:
        with torch.autocast(t1.device.type, dtype, enabled=dtype != torch.float32):
            logits: Logits = model(one, other)
        return logits

    return run


PASSES: dict[str, Callable[[ChangeModel, Tensor, Tensor, torch.dtype], Passes]] = {
    "plain": _plain,
    "recorded": recorded_training,
}
"""How forward and backward pass run; recorded ones need a GPU."""
