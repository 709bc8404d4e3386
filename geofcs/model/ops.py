"""The four-direction scan as one torch operator, and the one place that says which implementation runs.

`geofcs::four_direction_scan` is defined by `scan.four_direction_scan_definition`. Its implementations take any floating
dtype and any strides, and return channels-last memory, which is what the layer norm after it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geofcs.model import vectorised_scan


class Implementation(NamedTuple):
    """Forward and backward of the four-direction scan, with the arguments of `vectorised_scan`'s."""

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, ...]]


PLAIN_TORCH = Implementation(
    vectorised_scan.four_direction_scan,
    vectorised_scan.four_direction_scan_backward,
)


def implementation_for(_device: torch.device) -> Implementation:
    """What runs the scan on a device."""
    return PLAIN_TORCH


@torch.library.custom_op("geofcs::four_direction_scan", mutates_args=())
def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """Four selective scans over a map, summed: see `scan.four_direction_scan_definition` for the definition.

    Shapes: x (b, D, h, w); factors (b, 4, R + 2, h, w); dt_weight (4, D, R); dt_bias, a_log, skip (4, D).
    Returns (b, D, h, w) in x's dtype.
    """
    return implementation_for(x.device).forward(x, factors, dt_weight, dt_bias, a_log, skip)


@torch.library.custom_op("geofcs::four_direction_scan_backward", mutates_args=())
def four_direction_scan_backward(
    grad: Tensor, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `four_direction_scan`'s six arguments, of their shapes and dtypes."""
    backward = implementation_for(x.device).backward
    of_x, of_factors, of_weight, of_bias, of_a, of_skip = backward(grad, x, factors, dt_weight, dt_bias, a_log, skip)
    return of_x, of_factors, of_weight, of_bias, of_a, of_skip


@four_direction_scan.register_fake
def _fake_forward(x: Tensor, *_others: Tensor) -> Tensor:
    return _as_channels_last(x)


@four_direction_scan_backward.register_fake
def _fake_backward(_grad: Tensor, x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    return _as_channels_last(x), *(torch.empty_like(t) for t in others)


def _as_channels_last(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001, the signature is torch's
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    return tuple(four_direction_scan_backward(grad, *ctx.saved_tensors))


four_direction_scan.register_autograd(_differentiate, setup_context=_keep)
