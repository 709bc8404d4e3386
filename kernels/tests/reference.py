"""The four-direction scan in float64, written for checking: one position after the other, differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Size(NamedTuple):
    """Of a scan: x is (batch, channels, height, width)."""

    batch: int
    channels: int
    height: int
    width: int
    rank: int


ODD_SIZES = [
    Size(1, 1, 1, 1, 1),
    Size(2, 33, 1, 40, 3),
    Size(1, 40, 37, 1, 2),
    Size(2, 5, 7, 5, 4),
    Size(1, 20, 33, 17, 6),
    Size(1, 64, 16, 16, 64),
    Size(2, 40, 26, 20, 8),
    Size(1, 24, 5, 18, 100),
]


def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """What `geofcs_kernels.forward` computes, from float64 arguments."""
    rank = dt_weight.shape[-1]
    total = x * skip.sum(0)[:, None, None]
    for k in range(4):
        order = _order(k, x.shape[2], x.shape[3]).to(x.device)
        sequence, maps = x.flatten(2)[..., order], factors[:, k].flatten(2)[..., order]
        dt, B, C = maps[:, :rank], maps[:, rank, None], maps[:, rank + 1, None]
        step = F.softplus(dt_weight[k] @ dt + dt_bias[k][:, None], threshold=1000)
        decay, driven = torch.exp(-a_log[k].exp()[:, None] * step), step * B * sequence
        h, states = torch.zeros_like(driven[..., 0]), []
        for t in range(driven.shape[-1]):
            h = decay[..., t] * h + driven[..., t]
            states.append(h)
        total = total + (C * torch.stack(states, -1))[..., order.argsort()].view_as(x)
    return total


def _order(direction: int, height: int, width: int) -> Tensor:
    positions = torch.arange(height * width).view(height, width)
    order = (positions.T if direction % 2 else positions).flatten()
    return order.flip(0) if direction >= 2 else order


def arguments(size: Size, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> list[Tensor]:
    """Fresh random arguments in the range that trained models have; maps are channels-last in memory."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    batch, channels, height, width, rank = size
    x = draw(batch, height, width, channels).to(device, dtype).permute(0, 3, 1, 2)
    factors = draw(batch, height, width, 4, rank + 2).to(device, dtype).permute(0, 3, 4, 1, 2)
    parameters = [
        draw(4, channels, rank) / rank**0.5,
        -3 + draw(4, channels),
        0.5 * draw(4, channels),
        1 + 0.1 * draw(4, channels),
    ]
    return [x, factors, *(t.to(device) for t in parameters)]


def with_gradients(given: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
    """The result for `given`, in float64, and the gradients of all arguments."""
    wide = [t.double().requires_grad_() for t in given]
    result = four_direction_scan(*wide)
    return [result.detach(), *torch.autograd.grad(result, wide, grad.double())]


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Of the whole tensor; what is expected to be zero counts absolutely."""
    norm = expected.norm()
    return float((value.double() - expected).norm() / (norm if norm > 1e-12 else 1.0))
