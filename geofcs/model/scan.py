"""The selective scan as it is defined: one position after the other, to be read and tested against, not to be fast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan_definition(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor
) -> Tensor:
    """The selective state-space scan of Mamba (arXiv 2312.00752, algorithm 2), along the last axis.

        step = softplus(delta + delta_bias)
        h_t  = exp(step_t A) h_{t-1} + step_t B_t u_t,   h_0 = 0
        y_t  = <C_t, h_t> + D u_t

    Channels come in g groups that share B and C; N is the size of a channel's state.

    Shapes: u, delta (b, g d, l); A (g d, N); B, C (b, g, N, l); D, delta_bias (g d). Returns y (b, g d, l) in u's
    dtype; the recurrence runs in float32 at least.
    """
    wide = torch.promote_types(u.dtype, torch.float32)
    per_group = u.shape[1] // B.shape[1]
    inputs = u.to(wide)
    step = F.softplus(delta.to(wide) + delta_bias.to(wide)[:, None])
    to_state, from_state = (t.to(wide).repeat_interleave(per_group, dim=1) for t in (B, C))
    state = inputs.new_zeros(*A.shape).expand(u.shape[0], -1, -1)
    outputs = []
    for t in range(u.shape[-1]):
        now = step[..., t, None]
        state = torch.exp(now * A.to(wide)) * state + now * to_state[..., t] * inputs[..., t, None]
        outputs.append((from_state[..., t] * state).sum(-1))
    return (torch.stack(outputs, -1) + D.to(wide)[:, None] * inputs).to(u.dtype)


def four_direction_scan_definition(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """Four selective scans over the positions of a map, summed: VMamba's 2-D scan (arXiv 2401.10166, section 4.2).

    Directions k = 0..3: row-major; column-major; row-major reversed; column-major reversed. Each takes its step sizes
    (through rank R), B and C from `factors` = x_proj_weight[k] @ x at the same position, split R | 1 | 1; A is
    -exp(a_log), the state of a channel one number.

    Shapes: x (b, D, h, w); factors (b, 4, R + 2, h, w); dt_weight (4, D, R); dt_bias, a_log, skip (4, D). Any floating
    dtype, any strides. Returns (b, D, h, w) in x's dtype; recurrence and sum run in float32 at least and are rounded
    once, at the end.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    total = torch.zeros_like(x, dtype=wide)
    for k in range(4):
        sequence = _in_order(x.to(wide), k)
        dt, to_state, from_state = torch.split(_in_order(factors[:, k].to(wide), k), [dt_weight.shape[-1], 1, 1], 1)
        y = selective_scan_definition(
            u=sequence,
            delta=dt_weight[k].to(wide) @ dt,
            A=-a_log[k].to(wide).exp()[:, None],
            B=to_state[:, None],
            C=from_state[:, None],
            D=skip[k],
            delta_bias=dt_bias[k],
        )
        total = total + _back_in_place(y, k, x.shape)
    return total.to(x.dtype)


def _in_order(image: Tensor, direction: int) -> Tensor:
    """(b, c, h, w) -> (b, c, h w), positions as that direction visits them."""
    sequence = (image.mT if direction % 2 else image).flatten(-2)
    return sequence.flip(-1) if direction >= 2 else sequence


def _back_in_place(sequence: Tensor, direction: int, shape: torch.Size) -> Tensor:
    """The inverse of `_in_order`."""
    height, width = shape[-2:]
    sequence = sequence.flip(-1) if direction >= 2 else sequence
    if direction % 2:
        return torch.unflatten(sequence, -1, (width, height)).mT
    return torch.unflatten(sequence, -1, (height, width))
