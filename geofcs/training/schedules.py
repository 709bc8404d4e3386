"""How the learning rate runs: a function of the iteration alone, so that there is no state to save."""

from __future__ import annotations

import math
from collections.abc import Callable

from geofcs.training.config import TrainConfig


def learning_rate(train: TrainConfig, iteration: int) -> float:
    """The rate of an iteration, counted from 0: a linear warm-up, then the schedule over what is left."""
    if iteration < train.warmup:
        return train.lr * (iteration + 1) / train.warmup
    return train.lr * SCHEDULES[train.schedule](train, iteration)


def _cosine(train: TrainConfig, iteration: int) -> float:
    """From 1 to 0 along half a cosine (arXiv 1608.03983, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * _passed(train, iteration)))


def _polynomial(train: TrainConfig, iteration: int) -> float:
    """From 1 to 0, straight if the power is 1."""
    return float((1 - _passed(train, iteration)) ** train.power)


def _halving(train: TrainConfig, iteration: int) -> float:
    """Half as much after every `halve_every` iterations: the published schedule."""
    return float(0.5 ** (iteration // train.halve_every))


def _passed(train: TrainConfig, iteration: int) -> float:
    """The share of the iterations after the warm-up that lies behind."""
    return min(1.0, (iteration - train.warmup) / max(1, train.iterations - train.warmup))


SCHEDULES: dict[str, Callable[[TrainConfig, int], float]] = {
    "cosine": _cosine,
    "polynomial": _polynomial,
    "halving": _halving,
}
