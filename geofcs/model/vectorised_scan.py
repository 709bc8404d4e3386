"""The scans in vectorised plain torch: any device, forward and backward, direction by direction to spare memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.model.recurrence import before, chunked, recurrence, run, unchunked

VALUES_AT_ONCE = 2**19
"""Numbers in one working buffer: so many channels are scanned together. Larger ones fall out of a CPU's cache."""

LEAST_CHANNELS = 16
"""Channels scanned together at least, to keep the innermost loops long."""


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor) -> Tensor:
    """`scan.selective_scan_definition`, vectorised over positions; differentiable."""
    wide = torch.promote_types(u.dtype, torch.float32)
    channels, length = u.shape[1:]
    inputs = u.to(wide)
    step = F.softplus(delta.to(wide) + delta_bias.to(wide)[:, None])
    to_state, from_state = (t.to(wide).repeat_interleave(channels // B.shape[1], dim=1) for t in (B, C))
    gain = torch.exp(step[:, :, None] * A.to(wide)[:, :, None])
    driven = (step * inputs)[:, :, None] * to_state
    states = recurrence(*(chunked(t.flatten(1, 2).mT) for t in (gain, driven)))
    states = torch.unflatten(unchunked(states, length).mT, 1, A.shape)
    return ((from_state * states).sum(2) + D.to(wide)[:, None] * inputs).to(u.dtype)


class Arguments(NamedTuple):
    """The four-direction scan's arguments, or gradients of them, with channels last.

    `image` (b, h, w, D) and `maps` (4, b, h, w, R + 2) are x and factors, the rest is as the operator takes it.
    """

    image: Tensor
    maps: Tensor
    dt_weight: Tensor
    dt_bias: Tensor
    a_log: Tensor
    skip: Tensor


class Factors(NamedTuple):
    """One direction's factors as chunked sequences (j, b, m, R | 1 | 1)."""

    dt: Tensor
    to_state: Tensor
    from_state: Tensor


class Drive(NamedTuple):
    """What drives one direction's recurrence: step sizes, and gains exp(step A), chunked (j, b, m, c)."""

    step: Tensor
    gain: Tensor


def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """`scan.four_direction_scan_definition`, vectorised over positions; (b, D, h, w) with channels last in memory."""
    arguments = _channels_last(x, factors, dt_weight, dt_bias, a_log, skip)
    total = arguments.image * arguments.skip.sum(0)
    for columns in (False, True):
        directions = {k: _factors(arguments, k) for k in _directions(columns)}
        for channels in _channel_runs(arguments.image):
            inputs = _sequence(arguments.image[..., channels], columns)
            outputs = torch.zeros_like(inputs)
            for k, of_k in directions.items():
                states = _states(inputs, of_k, _drive(arguments, of_k, k, channels), k)
                outputs.addcmul_(states, of_k.from_state)
            _add_sequence(total[..., channels], outputs, columns)
    return total.to(x.dtype).permute(0, 3, 1, 2)


def four_direction_scan_backward(
    grad: Tensor, x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the six arguments for `grad` (b, D, h, w); states are computed again, not kept from the forward."""
    given = (x, factors, dt_weight, dt_bias, a_log, skip)
    arguments = _channels_last(*given)
    arrived = grad.permute(0, 2, 3, 1).to(arguments.skip.dtype)
    gradients = Arguments(*(torch.zeros_like(t, dtype=arguments.skip.dtype) for t in arguments))
    gradients.image.addcmul_(arrived, arguments.skip.sum(0))
    gradients.skip.add_((arguments.image * arrived).sum((0, 1, 2)))
    for columns in (False, True):
        for channels in _channel_runs(arguments.image):
            inputs, arrived_here = (_sequence(t[..., channels], columns) for t in (arguments.image, arrived))
            grad_inputs = torch.zeros_like(inputs)
            for k in _directions(columns):
                _add_gradients(gradients, grad_inputs, inputs, arrived_here, arguments, k, channels)
            _add_sequence(gradients.image[..., channels], grad_inputs, columns)
    image, maps = gradients.image.permute(0, 3, 1, 2), gradients.maps.permute(1, 0, 4, 2, 3)
    return tuple(g.to(t.dtype) for g, t in zip((image, maps, *gradients[2:]), given, strict=True))


def _channels_last(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Arguments:
    """The operator's arguments, x contiguous, parameters in the dtype that is computed in."""
    wide = torch.promote_types(x.dtype, torch.float32)
    image, maps = x.permute(0, 2, 3, 1).contiguous(), factors.permute(1, 0, 3, 4, 2)
    return Arguments(image, maps, *(t.to(wide) for t in (dt_weight, dt_bias, a_log, skip)))


def _factors(arguments: Arguments, k: int) -> Factors:
    sequence = _sequence(arguments.maps[k], columns=k in _directions(columns=True)).to(arguments.skip.dtype)
    return Factors(*torch.split(sequence, [arguments.dt_weight.shape[-1], 1, 1], -1))


def _drive(arguments: Arguments, factors: Factors, k: int, channels: slice) -> Drive:
    """Step sizes and gains of one direction for some channels."""
    weight, decay = arguments.dt_weight[k, channels], arguments.a_log[k, channels].exp()
    raw_step = torch.addmm(arguments.dt_bias[k, channels], factors.dt.flatten(0, 2), weight.T)
    step = F.softplus(raw_step).view(*factors.dt.shape[:3], -1)
    # exp2 is several times faster than exp on CPUs.
    return Drive(step, (step * (-decay / math.log(2))).exp2_())


def _states(inputs: Tensor, factors: Factors, drive: Drive, k: int) -> Tensor:
    """h of every position."""
    states = (inputs * factors.to_state).mul_(drive.step)
    run(drive.gain, states, reverse=_is_reversed(k))
    return states


def _add_gradients(
    gradients: Arguments,
    grad_inputs: Tensor,
    inputs: Tensor,
    arrived: Tensor,
    arguments: Arguments,
    k: int,
    channels: slice,
) -> None:
    """Add one direction's share to the gradients of inputs, maps and parameters."""
    reverse = _is_reversed(k)
    decay = -arguments.a_log[k, channels].exp()
    factors = _factors(arguments, k)
    step, gain = drive = _drive(arguments, factors, k, channels)
    states = _states(inputs, factors, drive, k)
    adjoint = arrived * factors.from_state
    run(before(gain, reverse=not reverse), adjoint, reverse=not reverse)

    grad_from_state = (states * arrived).sum(-1, keepdim=True)
    grad_exponent = before(states, reverse=reverse).mul_(adjoint).mul_(gain)
    gradients.a_log[k, channels] += (grad_exponent * step).sum((0, 1, 2)) * decay
    grad_inputs.addcmul_(adjoint * step, factors.to_state)
    grad_driving = adjoint.mul_(inputs)
    grad_to_state = (grad_driving * step).sum(-1, keepdim=True)
    grad_step = grad_driving.mul_(factors.to_state).addcmul_(grad_exponent, decay)

    grad_raw_step = grad_step.mul_(-torch.expm1(-step))  # softplus' = sigmoid = 1 - exp(-softplus)
    flat = grad_raw_step.flatten(0, 2)
    gradients.dt_weight[k, channels] += flat.T @ factors.dt.flatten(0, 2)
    gradients.dt_bias[k, channels] += flat.sum(0)
    grad_dt = grad_raw_step @ arguments.dt_weight[k, channels]
    grad_factors = torch.cat([grad_dt, grad_to_state, grad_from_state], -1)
    _add_sequence(gradients.maps[k], grad_factors, columns=k in _directions(columns=True))


def _directions(columns: bool) -> tuple[int, int]:
    """The two directions, there and back, along rows or columns."""
    return (1, 3) if columns else (0, 2)


def _is_reversed(k: int) -> bool:
    """Whether a direction runs from the last position to the first."""
    return k >= 2


def _channel_runs(image: Tensor) -> Iterator[slice]:
    """The channels of a (b, h, w, D) map in runs of equal length that are scanned together."""
    channels = image.shape[-1]
    most = max(LEAST_CHANNELS, VALUES_AT_ONCE // math.prod(image.shape[:3]))
    length = math.ceil(channels / math.ceil(channels / most))
    for first in range(0, channels, length):
        yield slice(first, first + length)


def _sequence(image: Tensor, columns: bool) -> Tensor:
    """A (b, h, w, c) map as a chunked sequence, row by row or column by column, float32 at least."""
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return chunked((image.transpose(1, 2) if columns else image).flatten(1, 2))


def _add_sequence(image: Tensor, chunks: Tensor, columns: bool) -> None:
    """Add a chunked sequence to a (b, h, w, c) map at its positions."""
    target = image.transpose(1, 2) if columns else image
    target += unchunked(chunks, target.shape[1] * target.shape[2]).view(target.shape)
