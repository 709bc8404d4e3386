"""What changes while a model trains, as named tensors: weights, the optimiser's moments, the moving average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]

MODEL, OPTIMISER, AVERAGE = "model.", "optimizer.", "average."
"""Beginnings of names."""


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A moving average of a model's weights, which forgets its first steps faster than `decay` alone would let it.

    After n updates the old average counts min(decay, (1 + n) / (10 + n)). Statistics of batch norms are copied.
    """

    def update(averages: Tensors, current: Tensors, updates: Tensor | int) -> None:
        count = float(updates)
        torch._foreach_lerp_(list(averages), list(current), 1 - min(decay, (1 + count) / (10 + count)))

    return AveragedModel(model, multi_avg_fn=update)


def state_tensors(model: nn.Module, optimizer: Optimizer, average: AveragedModel | None) -> dict[str, Tensor]:
    """Everything by name; the optimiser's by the names of the parameters they belong to."""
    tensors = {f"{MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
    if average is not None:
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in average.state_dict().items()}
    state = optimizer.state_dict()["state"]
    for index, (name, _) in enumerate(model.named_parameters()):
        tensors |= {f"{OPTIMISER}{name}/{key}": torch.as_tensor(value) for key, value in state.get(index, {}).items()}
    return tensors


def state_bytes(model: nn.Module, optimizer: Optimizer, average: AveragedModel | None, moments: int) -> int:
    """What these tensors take; the moments, so many of each parameter, are there after the first iteration only."""
    to_come = 0 if optimizer.state else moments * bytes_of(model.parameters())
    return bytes_of(state_tensors(model, optimizer, average).values()) + to_come


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What tensors take in a file, but for a few bytes each."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def restore(
    tensors: Mapping[str, Tensor], model: nn.Module, optimizer: Optimizer, average: AveragedModel | None
) -> None:
    """Give back what `state_tensors` took. Raises KeyError or RuntimeError where the tensors are another model's."""
    model.load_state_dict(_beginning_with(MODEL, tensors))
    if average is not None:
        average.load_state_dict(_beginning_with(AVERAGE, tensors))
    kept: dict[str, dict[str, Tensor]] = {}
    for name, tensor in _beginning_with(OPTIMISER, tensors).items():
        parameter, key = name.rsplit("/", 1)
        kept.setdefault(parameter, {})[key] = tensor
    names = [name for name, _ in model.named_parameters()]
    state = {index: kept[name] for index, name in enumerate(names) if name in kept}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _beginning_with(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
