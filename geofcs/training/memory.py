"""Memory: how much a run took at most, and what to do when it was not there."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from geofcs.breakdown import is_out_of_memory
from geofcs.errors import ComputeError
from geofcs.training.checkpoint import way_on
from geofcs.training.config import RunConfig


def peak_bytes(device: torch.device) -> int:
    """The most that this process has held so far: on a GPU its tensors there, else everything."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def memory_advice(config: RunConfig, run: Path | None = None) -> Iterator[None]:
    """Turn running out of memory into a `ComputeError` that says which setting to change, and how a run goes on."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ComputeError(_advice(config, "the GPU", run)) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ComputeError(_advice(config, "this machine", run)) from error


def _advice(config: RunConfig, where: str, run: Path | None) -> str:
    train, crop = config.train, config.data.crop
    each = train.batch // train.devices
    more = next((steps for steps in range(train.accumulate + 1, each + 1) if each % steps == 0), None)
    cures = [f"--set train.accumulate={more} (the same batch in smaller parts)"] if more else []
    if each > 1:
        cures.append(f"--set train.batch={train.batch // 2}")
    if crop > 64:
        cures.append(f"--set data.crop={crop // 2 // 32 * 32}")
    if train.precision != "bf16" and where == "the GPU":
        cures.append("--set train.precision=bf16")
    said = (
        f"{where} has too little memory for {train.batch} pairs of {crop} pixels in {train.accumulate} steps: "
        f"say {', or '.join(cures) or 'a smaller model.size'}"
    )
    return said if run is None else f"{said}{way_on(run, 'say it with')}"
