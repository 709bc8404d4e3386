"""Which kernels serve which device, and the two functions that geofcs calls."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geofcs_kernels import cpu, cpu_pointwise, cuda, images, nvrtc, pointwise

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What x may be. Everything else (float64) is left to plain torch."""
MODULES: dict[str, ModuleType] = {"cpu": cpu, "cuda": cuda}
POINTWISE = {"cpu": cpu_pointwise.FUNCTIONS, "cuda": pointwise.FUNCTIONS}


class Availability(NamedTuple):
    """Whether the kernels serve a kind of device, and how, or why not and what to install."""

    ok: bool
    reason: str


def available(device_type: str) -> Availability:
    """Whether tensors of this kind of device ("cpu", "cuda") are served."""
    if device_type == "cuda":
        return _cuda()
    if device_type == "cpu":
        return Availability(True, cpu.instructions()) if cpu.library() else Availability(False, cpu.MISSING)
    return Availability(False, f"no kernels for devices of type {device_type}")


def _cuda() -> Availability:
    if not torch.cuda.is_available() or torch.version.cuda is None:
        return Availability(False, "torch sees no NVIDIA GPU")
    capability = torch.cuda.get_device_capability()
    if capability < images.LOWEST:
        return Availability(False, f"compute capability {capability[0]}.{capability[1]}, the kernels need 8.0")
    if images.are_built():
        return Availability(True, "compiled by nvcc when geofcs-kernels was installed")
    if nvrtc.available():
        return Availability(True, f"compiled at first use by NVRTC {nvrtc.version()[0]}.{nvrtc.version()[1]}")
    return Availability(False, nvrtc.MISSING)


def pointwise_functions(device_type: str) -> dict[str, Callable[..., Any]]:
    """Fused pointwise operations that a kind of device has kernels for, by their names in geofcs."""
    return POINTWISE.get(device_type, {})


def forward(x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor) -> Tensor:
    """Four selective scans over a map, summed: `geofcs.model.scan.four_direction_scan_definition`.

    Shapes: x (b, D, h, w) of float32, bfloat16 or float16; factors (b, 4, R + 2, h, w); any strides, none is copied if
    factors have x's dtype. dt_weight (4, D, R); dt_bias, a_log, skip (4, D). Returns (b, D, h, w) in x's dtype with
    channels last in memory. The recurrence runs in float32; products with dt_weight run in x's dtype and are summed in
    float32.
    """
    result: Tensor = _of(x).forward(x, factors, dt_weight, dt_bias, a_log, skip)
    return result


def backward(
    grad: Tensor, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of `forward`'s six arguments, of their shapes and dtypes, for `grad` (b, D, h, w) of its result.

    Sums over positions and channels have a fixed order: the same call gives the same bits.
    """
    gradients: tuple[Tensor, ...] = _of(x).backward(grad, x, factors, dt_weight, dt_bias, a_log, skip)
    return gradients


def _of(x: Tensor) -> ModuleType:
    """The module that serves x, which must be of a kind that the kernels know."""
    if x.device.type not in MODULES or x.dtype not in DTYPES:
        raise ValueError(f"no kernels for {x.dtype} on {x.device.type}; use the plain torch path there")
    return MODULES[x.device.type]
