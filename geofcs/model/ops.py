"""The four-direction scan as one torch operator, by compiled kernels where `kernels` finds them, else in plain torch.

`geofcs::four_direction_scan` is defined by `scan.four_direction_scan_definition`. Its implementations take any floating
dtype and any strides, and return channels-last memory, which is what the layer norm after it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from geofcs.model import vectorised_scan
from geofcs.model.kernels import kernels_for


class Implementation(NamedTuple):
    """Forward and backward of the four-direction scan, with the arguments of `vectorised_scan`'s."""

    forward: Callable[..., Tensor]
    backward: Callable[..., tuple[Tensor, ...]]


PLAIN_TORCH = Implementation(
    vectorised_scan.four_direction_scan,
    vectorised_scan.four_direction_scan_backward,
)


def implementation_for(x: Tensor) -> Implementation:
    """What runs the scan of a map, by its device and dtype."""
    kernels = kernels_for(x.device.type)
    if kernels is None or x.dtype not in kernels.DTYPES:
        return PLAIN_TORCH
    return Implementation(kernels.forward, kernels.backward)


# Operators are defined in torch's schema language and not with `torch.library.custom_op`, whose first call imports
# torch's compiler: a second of start-up that nothing here needs.
_SCAN = "Tensor x, Tensor factors, Tensor dt_weight, Tensor dt_bias, Tensor a_log, Tensor skip"
_LIBRARY = torch.library.Library("geofcs", "DEF")
_LIBRARY.define(f"four_direction_scan({_SCAN}) -> Tensor")
_LIBRARY.define(
    f"four_direction_scan_backward(Tensor grad, {_SCAN}) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """Four selective scans over a map, summed: see `scan.four_direction_scan_definition` for the definition.

    Shapes: x (b, D, h, w); factors (b, 4, R + 2, h, w); dt_weight (4, D, R); dt_bias, a_log, skip (4, D).
    Returns (b, D, h, w) in x's dtype.
    """
    y: Tensor = torch.ops.geofcs.four_direction_scan(x, factors, dt_weight, dt_bias, a_log, skip)
    return y


def _forward(x: Tensor, *others: Tensor) -> Tensor:
    return implementation_for(x).forward(x, *others)


def _backward(grad: Tensor, x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the six arguments, of their shapes and dtypes."""
    return tuple(implementation_for(x).backward(grad, x, *others))


def _fake_forward(x: Tensor, *_others: Tensor) -> Tensor:
    return _as_channels_last(x)


def _fake_backward(_grad: Tensor, x: Tensor, factors: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    batch, directions, rows, height, width = factors.shape
    gfactors = factors.new_empty(batch, height, width, directions, rows).permute(0, 3, 4, 1, 2)
    return _as_channels_last(x), gfactors, *(each.new_empty(each.shape) for each in parameters)


def _as_channels_last(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001, the signature is torch's
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.ops.geofcs.four_direction_scan_backward(grad, *ctx.saved_tensors))


_LIBRARY.impl("four_direction_scan", _forward, "CompositeExplicitAutograd")
_LIBRARY.impl("four_direction_scan_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("geofcs::four_direction_scan", _fake_forward, lib=_LIBRARY)
torch.library.register_fake("geofcs::four_direction_scan_backward", _fake_backward, lib=_LIBRARY)
torch.library.register_autograd("geofcs::four_direction_scan", _differentiate, setup_context=_keep, lib=_LIBRARY)


DIRECTIONS = 4


def projected_scan(x: Tensor, factors_weight: Tensor, *parameters: Tensor) -> Tensor:
    """The scan of a map whose factors are its own products with `factors_weight`.

    Shapes: x (b, h, w, D), as the result; factors_weight (4, R + 2, D); `parameters` as of `four_direction_scan`.
    As one function rather than two, its backward pass reads and writes the gradient of x once less.
    """
    y: Tensor = _ProjectedScan.apply(x, factors_weight, *parameters)
    return y


def padded_factors(weight: Tensor) -> Tensor:
    """`factors_weight` (4, R + 2, D) with rows of zeros up to R + 8, on a GPU and where R is a multiple of 8.

    Each direction's factors then begin at a multiple of 16 bytes, which the kernels' usual case asks for.
    """
    rank = weight.shape[1] - 2
    return F.pad(weight, (0, 0, 0, 6)) if weight.is_cuda and rank % 8 == 0 else weight


class _ProjectedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factors_weight: Tensor, *parameters: Tensor) -> Tensor:
        weight = factors_weight.to(x.dtype)
        factors = torch.unflatten(F.linear(x, padded_factors(weight).flatten(0, 1)), -1, (DIRECTIONS, -1))
        factors = factors[..., : weight.shape[1]].permute(0, 3, 4, 1, 2)
        ctx.save_for_backward(x, weight, factors, *parameters)
        ctx.weight_dtype = factors_weight.dtype
        return four_direction_scan(x.permute(0, 3, 1, 2), factors, *parameters).permute(0, 2, 3, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, weight, *others = ctx.saved_tensors
        given = (grad.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), *others)
        of_x, of_factors, *of_parameters = torch.ops.geofcs.four_direction_scan_backward(*given)
        rows = of_factors.permute(0, 3, 4, 1, 2).flatten(0, 2).flatten(1).to(x.dtype)
        of_weight = rows.mT @ x.flatten(0, 2)
        summed = of_x.permute(0, 2, 3, 1).reshape(-1, x.shape[-1]).addmm_(rows, weight.flatten(0, 1))
        return summed.view(x.shape), of_weight.view(weight.shape).to(ctx.weight_dtype), *of_parameters
