"""Fused layers with gradients, for training on NVIDIA GPUs; maps are (b, h, w, c), contiguous."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofcs_kernels import pointwise


class LayerNorm(torch.autograd.Function):
    """Layer norm over the last axis of x, which is of `dtype` or float32, in `dtype`; weight and bias are float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        """The norm; x is kept, its statistics are computed again."""
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        return pointwise.layer_norm_to(x, weight, bias, dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, weight and bias."""
        return (*pointwise.layer_norm_backward(grad.contiguous(), *ctx.saved_tensors), None)


class DepthwiseSiLU(torch.autograd.Function):
    """SiLU of a depthwise 3x3 convolution; weight (3, 3, c), float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """The map; x is kept, the convolution is computed again."""
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        return pointwise.depthwise_silu(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Of x and weight."""
        return pointwise.depthwise_silu_backward(grad.contiguous(), *ctx.saved_tensors)


def norm_is_built(channels: int) -> bool:
    """Whether there is a kernel for norms over so many channels."""
    width = 8 if channels % 8 == 0 else 1
    return channels <= 32 * pointwise.MOST_KEPT * width
