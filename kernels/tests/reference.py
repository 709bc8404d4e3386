"""The four-direction scan in float64, written for checking: one position after the other, differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """What `geofcs_kernels.forward` computes, from float64 arguments."""
    height, width = x.shape[2:]
    rank = dt_weight.shape[-1]
    total = x * skip.sum(0)[:, None, None]
    for k in range(4):
        order = torch.arange(height * width, device=x.device).view(height, width)
        order = (order.T if k % 2 else order).flatten()
        order = order.flip(0) if k >= 2 else order
        sequence, maps = x.flatten(2)[..., order], factors[:, k].flatten(2)[..., order]
        dt, B, C = maps[:, :rank], maps[:, rank, None], maps[:, rank + 1, None]
        step = F.softplus(dt_weight[k] @ dt + dt_bias[k][:, None], threshold=1000)
        decay, driven = torch.exp(-a_log[k].exp()[:, None] * step), step * B * sequence
        h, states = torch.zeros_like(driven[..., 0]), []
        for t in range(driven.shape[-1]):
            h = decay[..., t] * h + driven[..., t]
            states.append(h)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=x.device)
        total = total + (C * torch.stack(states, -1))[..., back].view_as(x)
    return total


def arguments(
    batch: int, channels: int, height: int, width: int, rank: int, dtype: torch.dtype, device: str = "cpu", seed: int = 0
) -> list[Tensor]:
    """Fresh random arguments in the range that trained models have; maps are channels-last in memory."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x = draw(batch, height, width, channels).to(device, dtype).permute(0, 3, 1, 2)
    factors = draw(batch, height, width, 4, rank + 2).to(device, dtype).permute(0, 3, 4, 1, 2)
    parameters = [
        draw(4, channels, rank) / rank**0.5,
        -3 + draw(4, channels),
        0.5 * draw(4, channels),
        1 + 0.1 * draw(4, channels),
    ]
    return [x, factors, *(t.to(device) for t in parameters)]
