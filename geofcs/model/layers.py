"""Layers that train in fewer passes over memory where compiled kernels serve a GPU, and are plain torch elsewhere."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.kernels import training_kernels


class ChannelNorm(nn.LayerNorm):
    """Layer norm over channels, the last axis; on a GPU in the dtype that autocast asks for, statistics in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., c) -> the same."""
        kernels = training_kernels(x)
        dtype = _working_dtype(x)
        if kernels is None or x.dtype not in (dtype, torch.float32) or not kernels.norm_is_built(x.shape[-1]):
            return super().forward(x)
        normalised: Tensor = kernels.LayerNorm.apply(x, self.weight, self.bias, dtype)
        return normalised


def depthwise_silu(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """SiLU of a depthwise 3x3 convolution without bias of x (b, h, w, c): the same shape."""
    kernels = training_kernels(x)
    if kernels is None:
        return F.silu(conv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    image: Tensor = kernels.DepthwiseSiLU.apply(x, conv.weight[:, 0].permute(1, 2, 0))
    return image


def gelu_linear(x: Tensor, linear: nn.Linear) -> Tensor:
    """linear(GELU(x)), of which training keeps only x."""
    dtype = _working_dtype(x)
    y: Tensor = _GELULinear.apply(  # type: ignore[no-untyped-call]
        x.to(dtype), linear.weight.to(dtype), linear.bias.to(dtype)
    )
    return y


class _GELULinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        of_x = torch.ops.aten.gelu_backward(grad @ weight, x)
        return of_x, rows.mT @ F.gelu(x).flatten(0, -2), rows.sum(0)


def _working_dtype(x: Tensor) -> torch.dtype:
    """What autocast computes in, or x's dtype without it."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
