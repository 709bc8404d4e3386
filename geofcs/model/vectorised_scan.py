"""The scans in vectorised plain torch: any device, forward and backward, direction by direction to spare memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.model.recurrence import before, chunked, recurrence, run, unchunked

VALUES_AT_ONCE = 2**20
"""Numbers in one working buffer: so many channels are scanned together. Larger ones fall out of a CPU's cache."""

LEAST_CHANNELS = 32
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


@dataclass(frozen=True)
class Direction:
    """One of the four scans, over rows or columns, forwards or backwards, of some of the channels."""

    k: int
    channels: slice

    @property
    def columns(self) -> bool:
        """Whether it runs column by column."""
        return self.k % 2 == 1

    @property
    def reverse(self) -> bool:
        """Whether it runs from the last position to the first."""
        return self.k >= 2


class Terms(NamedTuple):
    """What drives one direction's recurrence, as chunked sequences (j, b, m, ...)."""

    dt: Tensor
    to_state: Tensor
    from_state: Tensor
    step: Tensor
    gain: Tensor


def four_direction_scan(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Tensor:
    """`scan.four_direction_scan_definition`, vectorised over positions; (b, D, h, w) with channels last in memory."""
    arguments = _channels_last(x, factors, dt_weight, dt_bias, a_log, skip)
    total = arguments.image * arguments.skip.sum(0)
    for channels in _channel_blocks(arguments.image):
        for first in (0, 1):
            inputs = _sequence(arguments.image, Direction(first, channels))
            outputs = torch.zeros_like(inputs)
            for direction in (Direction(first, channels), Direction(first + 2, channels)):
                terms = _terms(arguments, direction)
                outputs.addcmul_(_states(inputs, terms, direction), terms.from_state)
            _add_sequence(total, outputs, Direction(first, channels))
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
    for channels in _channel_blocks(arguments.image):
        for first in (0, 1):
            inputs, arrived_here = (_sequence(t, Direction(first, channels)) for t in (arguments.image, arrived))
            grad_inputs = torch.zeros_like(inputs)
            for direction in (Direction(first, channels), Direction(first + 2, channels)):
                _add_gradients(gradients, grad_inputs, inputs, arrived_here, arguments, direction)
            _add_sequence(gradients.image, grad_inputs, Direction(first, channels))
    image, maps = gradients.image.permute(0, 3, 1, 2), gradients.maps.permute(1, 0, 4, 2, 3)
    return tuple(g.to(t.dtype) for g, t in zip((image, maps, *gradients[2:]), given, strict=True))


def _channels_last(
    x: Tensor, factors: Tensor, dt_weight: Tensor, dt_bias: Tensor, a_log: Tensor, skip: Tensor
) -> Arguments:
    """The operator's arguments, images as they are but contiguous, parameters in the dtype that is computed in."""
    wide = torch.promote_types(x.dtype, torch.float32)
    image, maps = x.permute(0, 2, 3, 1).contiguous(), factors.permute(1, 0, 3, 4, 2)
    return Arguments(image, maps, *(t.to(wide) for t in (dt_weight, dt_bias, a_log, skip)))


def _terms(arguments: Arguments, direction: Direction) -> Terms:
    """Step sizes, gains and projections of one direction."""
    k, channels = direction.k, direction.channels
    weight, decay = arguments.dt_weight[k, channels], arguments.a_log[k, channels].exp()
    sequence = _sequence(arguments.maps[k], Direction(k, slice(None))).to(weight.dtype)
    dt, to_state, from_state = torch.split(sequence, [weight.shape[-1], 1, 1], -1)
    raw_step = torch.addmm(arguments.dt_bias[k, channels], dt.flatten(0, 2), weight.T)
    step = F.softplus(raw_step).view(*dt.shape[:3], -1)
    # exp2 is several times faster than exp on CPUs.
    gain = (step * (-decay / math.log(2))).exp2_()
    return Terms(dt, to_state, from_state, step, gain)


def _states(inputs: Tensor, terms: Terms, direction: Direction) -> Tensor:
    """h of every position."""
    states = (inputs * terms.to_state).mul_(terms.step)
    run(terms.gain, states, reverse=direction.reverse)
    return states


def _add_gradients(
    gradients: Arguments,
    grad_inputs: Tensor,
    inputs: Tensor,
    arrived: Tensor,
    arguments: Arguments,
    direction: Direction,
) -> None:
    """Add one direction's share to the gradients of inputs, maps and parameters."""
    k, channels, reverse = direction.k, direction.channels, direction.reverse
    decay = -arguments.a_log[k, channels].exp()
    terms = _terms(arguments, direction)
    states = _states(inputs, terms, direction)
    adjoint = arrived * terms.from_state
    run(before(terms.gain, reverse=not reverse), adjoint, reverse=not reverse)

    grad_from_state = (states * arrived).sum(-1, keepdim=True)
    grad_exponent = before(states, reverse=reverse).mul_(adjoint).mul_(terms.gain)
    gradients.a_log[k, channels] += (grad_exponent * terms.step).sum((0, 1, 2)) * decay
    grad_inputs.addcmul_(adjoint * terms.step, terms.to_state)
    grad_driving = adjoint.mul_(inputs)
    grad_to_state = (grad_driving * terms.step).sum(-1, keepdim=True)
    grad_step = grad_driving.mul_(terms.to_state).addcmul_(grad_exponent, decay)

    grad_raw_step = grad_step.mul_(-torch.expm1(-terms.step))  # softplus' = sigmoid = 1 - exp(-softplus)
    flat = grad_raw_step.flatten(0, 2)
    gradients.dt_weight[k, channels] += flat.T @ terms.dt.flatten(0, 2)
    gradients.dt_bias[k, channels] += flat.sum(0)
    grad_dt = grad_raw_step @ arguments.dt_weight[k, channels]
    grad_maps = torch.cat([grad_dt, grad_to_state, grad_from_state], -1)
    _add_sequence(gradients.maps[k], grad_maps, Direction(k, slice(None)))


def _channel_blocks(image: Tensor) -> Iterator[slice]:
    """The channels of a (b, h, w, D) map in runs that are scanned together."""
    width = max(LEAST_CHANNELS, VALUES_AT_ONCE // math.prod(image.shape[:3]))
    for first in range(0, image.shape[-1], width):
        yield slice(first, first + width)


def _sequence(image: Tensor, direction: Direction) -> Tensor:
    """A (b, h, w, c) map's channels as a chunked sequence in a direction's order of positions, float32 at least."""
    image = image[..., direction.channels]
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    return chunked((image.transpose(1, 2) if direction.columns else image).flatten(1, 2))


def _add_sequence(image: Tensor, chunks: Tensor, direction: Direction) -> None:
    """Add a chunked sequence to the channels of a (b, h, w, c) map, at its positions."""
    image = image[..., direction.channels]
    target = image.transpose(1, 2) if direction.columns else image
    target += unchunked(chunks, target.shape[1] * target.shape[2]).view(target.shape)
