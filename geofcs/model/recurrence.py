"""First-order linear recurrences h_t = gain_t h_{t-1} + input_t over long sequences, without a loop over positions.

A sequence is cut into chunks of `CHUNK` positions, and all chunks are walked at once: first only to learn each chunk's
total gain and what it leaves behind, then, once the chunks' initial states are known, again to fill in the states.
The initial states obey the same recurrence, of one chunk-th the length. Every step multiplies and adds numbers the
recurrence itself would have multiplied and added, so nothing overflows whatever the gains in [0, 1] are.

Chunked sequences are (j, b, m, c): position m * CHUNK + j of a sequence of batch element b, channel c. So what is done
at once lies together in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 8
"""Positions in a chunk; 8 and 16 measured equally fast on CPUs, larger ones slower."""


def chunked(sequence: Tensor) -> Tensor:
    """(b, l, c) of any strides -> (CHUNK, b, ceil(l / CHUNK), c), contiguous; zeros fill the last chunk."""
    missing = -sequence.shape[1] % CHUNK
    if missing:
        sequence = F.pad(sequence, (0, 0, 0, missing))
    return torch.unflatten(sequence, 1, (-1, CHUNK)).permute(2, 0, 1, 3).contiguous()


def unchunked(chunks: Tensor, length: int) -> Tensor:
    """The inverse of `chunked`: (b, length, c)."""
    return chunks.permute(1, 2, 0, 3).flatten(1, 2)[:, :length]


def run(gain: Tensor, states: Tensor, *, reverse: bool) -> None:
    """Replace the inputs in `states` by the states of the recurrence: states_t = gain_t states_{t-1} + states_t.

    Both are chunked sequences; `reverse` runs from the last position to the first. A filled-up last chunk does no harm
    where its inputs are 0.
    """
    order = slice(None, None, -1) if reverse else slice(None)
    gains, inputs = gain.unbind()[order], states.unbind()[order]
    if states.shape[2] > 1:
        _enter_chunks(gains, inputs, reverse=reverse)
    for (state, following), now in zip(itertools.pairwise(inputs), gains[1:], strict=True):
        following.addcmul_(now, state)


def _enter_chunks(gains: Sequence[Tensor], inputs: Sequence[Tensor], *, reverse: bool) -> None:
    """Add to the first input of every chunk what the chunks before it leave behind; both are in order."""
    total_gain, left = gains[0].clone(), inputs[0].clone()
    for now, entering in zip(gains[1:], inputs[1:], strict=True):
        torch.addcmul(entering, now, left, out=left)
        total_gain *= now
    if left.shape[1] <= 2 * CHUNK:
        run(total_gain.transpose(0, 1)[:, :, None], left.transpose(0, 1)[:, :, None], reverse=reverse)
    else:
        shorter = chunked(left)
        run(chunked(total_gain), shorter, reverse=reverse)
        left = unchunked(shorter, left.shape[1])
    here, before = (slice(None, -1), slice(1, None)) if reverse else (slice(1, None), slice(None, -1))
    inputs[0][:, here].addcmul_(gains[0][:, here], left[:, before])


def before(chunks: Tensor, *, reverse: bool) -> Tensor:
    """Each position's value replaced by its predecessor's in that order; the first gets 0."""
    shifted = torch.zeros_like(chunks)
    if reverse:
        shifted[:-1] = chunks[1:]
        shifted[-1, :, :-1] = chunks[0, :, 1:]
    else:
        shifted[1:] = chunks[:-1]
        shifted[0, :, 1:] = chunks[-1, :, :-1]
    return shifted


def recurrence(gain: Tensor, inputs: Tensor) -> Tensor:
    """The states of the forward recurrence on chunked sequences, differentiable."""
    states: Tensor = _Recurrence.apply(gain, inputs)  # type: ignore[no-untyped-call]
    return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gain: Tensor, inputs: Tensor) -> Tensor:
        states = inputs.clone()
        run(gain, states, reverse=False)
        ctx.save_for_backward(gain, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor]:
        gain, states = ctx.saved_tensors
        # The adjoint is the same recurrence run backwards, with each gain one position earlier.
        adjoint = grad_states.clone()
        run(before(gain, reverse=True), adjoint, reverse=True)
        return adjoint * before(states, reverse=False), adjoint
