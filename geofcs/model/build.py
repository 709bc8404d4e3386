"""From a config to a model: with fresh weights, or with memory for none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from geofcs.model.config import EncoderConfig, MambaFCSConfig
from geofcs.model.encoder import Encoder
from geofcs.model.fcs import MambaFCS
from geofcs.model.initialise import initialise

Config = TypeVar("Config")
Module = TypeVar("Module", bound=nn.Module)


def build(config: MambaFCSConfig, seed: int) -> MambaFCS:
    """A model with fresh float32 weights on the CPU, in training mode; the same for the same seed."""
    model = without_memory(MambaFCS, config)
    empty = {name: torch.empty_like(tensor, device="cpu") for name, tensor in model.state_dict().items()}
    model.load_state_dict(empty, assign=True)
    initialise(model, seed)
    return model


def without_memory(kind: Callable[[Config], Module], config: Config) -> Module:
    """A module whose weights have shapes but no memory; `load_state_dict(..., assign=True)` gives it weights."""
    with torch.device("meta"):
        return kind(config)


def parameter_count(config: MambaFCSConfig | EncoderConfig) -> int:
    """How many numbers training would change."""
    if isinstance(config, EncoderConfig):
        return _count(without_memory(Encoder, config))
    return _count(without_memory(MambaFCS, config))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
