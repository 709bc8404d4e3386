"""How gradients change weights: the optimisers that a config can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from geofcs.training.config import TrainConfig

MOMENTUM = 0.9
"""Of sgd, which looks ahead as Nesterov's does."""


def optimiser(train: TrainConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """The optimiser of a config, over these parameters."""
    return OPTIMISERS[train.optimiser](train, parameters)


def _adamw(train: TrainConfig, parameters: Iterable[Parameter]) -> Optimizer:
    """On a GPU in one call for all of them, as benchmarks time it."""
    changed = list(parameters)
    fused = True if all(each.is_cuda for each in changed) else None
    return AdamW(changed, lr=train.lr, weight_decay=train.weight_decay, fused=fused)


def _sgd(train: TrainConfig, parameters: Iterable[Parameter]) -> Optimizer:
    return SGD(parameters, lr=train.lr, weight_decay=train.weight_decay, momentum=MOMENTUM, nesterov=True)


MOMENTS = {"adamw": 2, "sgd": 1}
"""Tensors of its own size that each keeps of a parameter."""

OPTIMISERS: dict[str, Callable[[TrainConfig, Iterable[Parameter]], Optimizer]] = {"adamw": _adamw, "sgd": _sgd}
