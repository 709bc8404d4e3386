"""What the figures were measured on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch

from geofcs import __version__
from geofcs.model.kernels import choice_for


@dataclass(frozen=True)
class Machine:
    """Device, versions, and what runs the scan and why."""

    device: str
    name: str
    geofcs: str
    torch: str
    cuda: str | None
    kernels: str
    kernels_are: str
    threads: int


def machine(device: str) -> Machine:
    """This machine, as far as `device` ("cpu" or "cuda") is concerned."""
    choice = choice_for(device)
    cpu = _capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return Machine(
        device=device,
        name=torch.cuda.get_device_name() if device == "cuda" else cpu,
        geofcs=__version__,
        torch=torch.__version__,
        cuda=torch.version.cuda,
        kernels=choice.name,
        kernels_are=choice.reason,
        threads=torch.get_num_threads(),
    )


def default_precisions(device: str) -> tuple[str, ...]:
    """bf16 or fp16 on a GPU; on a CPU fp32, and bf16 where it has instructions for it."""
    if device == "cuda":
        return ("bf16",) if torch.cuda.is_bf16_supported() else ("fp16",)
    in_bf16 = any(on is True and "bf16" in name for name, on in _capabilities().items())
    return ("fp32", "bf16") if in_bf16 else ("fp32",)


def _capabilities() -> dict[str, Any]:
    """What torch knows of the CPU; the first torch that tells is later than the oldest that geofcs takes."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())
