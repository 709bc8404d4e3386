"""Which pairs an iteration sees: a function of the seed and the iteration, so that a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import Sampler

from geofcs.synthetic.noise import key_of

LONGEST_SHUFFLED = 1 << 30
"""Sets longer than this are made up on the spot and come in their own order."""


class Draw(NamedTuple):
    """The number of a pair in its set, and the place in the whole run's sequence that it is drawn for."""

    pair: int
    place: int


@dataclass(frozen=True)
class Share:
    """What one process handles of every iteration: `rank` of `ranks`, in `accumulate` steps of `pairs` pairs."""

    rank: int
    ranks: int
    accumulate: int
    pairs: int

    @property
    def batch(self) -> int:
        """Pairs of one iteration, over all processes and steps."""
        return self.ranks * self.accumulate * self.pairs


class Order(Sampler[list[Draw]]):
    """The batches of one process, from an iteration on and without end: epoch after epoch, each shuffled anew."""

    def __init__(self, length: int, seed: int, share: Share, iteration: int) -> None:
        self._length = length
        self._seed = seed
        self._share = share
        self._iteration = iteration

    def __iter__(self) -> Iterator[list[Draw]]:
        """Lists of draws, one per accumulated step."""
        share, epoch, shuffled = self._share, -1, torch.empty(0)
        for step in self._steps():
            draws = []
            for place in range(step, step + share.pairs):
                if place // self._length != epoch:
                    epoch = place // self._length
                    shuffled = permutation(self._length, self._seed, epoch)
                index = place % self._length
                draws.append(Draw(int(shuffled[index]) if len(shuffled) else index, place))
            yield draws

    def _steps(self) -> Iterator[int]:
        """The first place of each step."""
        share, iteration = self._share, self._iteration
        while True:
            for step in range(share.accumulate):
                yield iteration * share.batch + (step * share.ranks + share.rank) * share.pairs
            iteration += 1


def permutation(length: int, seed: int, epoch: int) -> torch.Tensor:
    """The order of the pairs in an epoch (length,); empty for a set too long to be shuffled."""
    if length > LONGEST_SHUFFLED:
        return torch.empty(0)
    generator = torch.Generator().manual_seed(key_of(seed, "order", epoch) % 2**62)
    return torch.randperm(length, generator=generator)
