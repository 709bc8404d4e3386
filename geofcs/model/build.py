"""From a config to a model of any architecture: with fresh weights, or with memory for none yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from geofcs.model.changemamba import ChangeMamba
from geofcs.model.config import (
    AnyEncoderConfig,
    ChangeConfig,
    ChangeMambaConfig,
    EncoderConfig,
    MambaFCSConfig,
    ResNetConfig,
    SCanNetConfig,
    changemamba_config,
    encoder_config,
    mamba_fcs_config,
    resnet_config,
    scannet_config,
)
from geofcs.model.encoder import Encoder
from geofcs.model.fcs import MambaFCS
from geofcs.model.initialise import initialise
from geofcs.model.interface import ChangeModel
from geofcs.model.resnet import ResNet
from geofcs.model.scannet import SCanNet
from geofcs.model.sizes import changemamba, mamba_fcs, scannet

Config = TypeVar("Config")
Module = TypeVar("Module", bound=nn.Module)


class Architecture(NamedTuple):
    """What makes a model: `model` from its config, the config from the name of a size and the number of classes.

    `config` reads what `dataclasses.asdict` made of a config; it raises KeyError or TypeError for anything else, and
    `sized` an `InputError` that lists the sizes.
    """

    model: Callable[[Any], ChangeModel]
    config: Callable[[dict[str, Any]], ChangeConfig]
    sized: Callable[[str, int], ChangeConfig]


ARCHITECTURES = {
    MambaFCSConfig.architecture: Architecture(MambaFCS, mamba_fcs_config, mamba_fcs),
    ChangeMambaConfig.architecture: Architecture(ChangeMamba, changemamba_config, changemamba),
    SCanNetConfig.architecture: Architecture(SCanNet, scannet_config, scannet),
}
"""Every kind of change model, by the name that its config has, weights files record and --model takes."""


def model_of(config: ChangeConfig) -> ChangeModel:
    """The model of a config, as torch initialises it."""
    return ARCHITECTURES[config.architecture].model(config)


def build(config: ChangeConfig, seed: int) -> ChangeModel:
    """A model with fresh float32 weights on the CPU, in training mode; the same for the same seed."""
    model = without_memory(model_of, config)
    empty = {name: torch.empty_like(tensor, device="cpu") for name, tensor in model.state_dict().items()}
    model.load_state_dict(empty, assign=True)
    initialise(model, seed)
    return model


def without_memory(kind: Callable[[Config], Module], config: Config) -> Module:
    """A module whose weights have shapes but no memory; `load_state_dict(..., assign=True)` gives it weights."""
    with torch.device("meta"):
        return kind(config)


class EncoderKind(NamedTuple):
    """What makes an encoder alone: the module from its config, the config from what `dataclasses.asdict` made of it."""

    encoder: Callable[[Any], nn.Module]
    config: Callable[[dict[str, Any]], AnyEncoderConfig]


ENCODER_KINDS = {
    EncoderConfig.kind: EncoderKind(Encoder, encoder_config),
    ResNetConfig.kind: EncoderKind(ResNet, resnet_config),
}
"""Every kind of encoder, by the name that its config has and weights files record."""


def encoder_of(config: AnyEncoderConfig) -> nn.Module:
    """The encoder of a config, as torch initialises it."""
    return ENCODER_KINDS[config.kind].encoder(config)


def parameter_count(config: ChangeConfig | AnyEncoderConfig) -> int:
    """How many numbers training would change."""
    kind: Callable[[Any], nn.Module] = encoder_of if isinstance(config, AnyEncoderConfig) else model_of
    return sum(parameter.numel() for parameter in without_memory(kind, config).parameters())
