"""The model that training starts from: fresh, on a trained encoder, or a trained model with new heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from torch import nn

from geofcs.classes import SCHEMES, ClassScheme
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.config import (
    STATISTICS,
    AnyEncoderConfig,
    ChangeConfig,
    ChangeMambaConfig,
    EncoderConfig,
    MambaFCSConfig,
    ResNetConfig,
    SCanNetConfig,
)
from geofcs.model.interface import ChangeModel
from geofcs.model.published import published_encoder, published_model, read_checkpoint
from geofcs.model.released import Tensors, class_count, is_encoder
from geofcs.model.sizes import changemamba, mamba_fcs, scannet
from geofcs.model.weights import EncoderInfo, load_encoder, load_weights, read_info
from geofcs.training.config import ModelConfig

Encoder = TypeVar("Encoder", EncoderConfig, ResNetConfig)

AS_WEIGHTS = "weights"
"""The size that stands for "that of the file in model.weights"."""

HEADS = ("land_cover_head", "t1_head", "t2_head")
"""Parts that know the classes, in one model or another."""

REMADE = (*HEADS, "t1_decoder", "t2_decoder")
"""Parts that another model may have differently, or not at all: heads, and what feeds them."""


class Start(NamedTuple):
    """A model in training mode on the CPU, and a sentence on where its weights come from."""

    model: ChangeModel
    said: str


class Trained(NamedTuple):
    """What a file holds: a whole model or an encoder alone, and the classes that a whole model was trained for."""

    module: nn.Module
    config: ChangeConfig | AnyEncoderConfig
    classes: ClassScheme | None


def starting_model(config: ModelConfig, classes: ClassScheme, seed: int) -> Start:
    """The model that a config asks for. Raises `InputError` where the weights' sizes are not those of the config."""
    trained = None if config.weights is None else _read(config.weights)
    sizes = model_sizes(config, classes, None if trained is None else trained.config)
    model = build(sizes, seed)
    if trained is None or config.weights is None:
        return Start(model, "the weights are fresh")
    _check_sizes(config.weights, _encoder_of(trained.config), sizes.encoder)
    if isinstance(trained.config, AnyEncoderConfig):
        model.encoder.load_state_dict(trained.module.state_dict())
        return Start(model, f"the encoder is that of {config.weights.name}, all else is fresh")
    if trained.config.architecture != sizes.architecture:
        _copy(config.weights, "encoder", trained.module.get_submodule("encoder"), model.encoder)
        whose = f"{config.weights.name}, a {trained.config.architecture}"
        return Start(model, f"the encoder is that of {whose}, all else is fresh")
    return Start(model, _take_over(config.weights, model, trained.module, classes, trained.classes))


def model_sizes(
    config: ModelConfig, classes: ClassScheme, trained: ChangeConfig | AnyEncoderConfig | None = None
) -> ChangeConfig:
    """The sizes that a config asks for; `trained` are those of its weights, if it names some."""
    if config.size == AS_WEIGHTS and trained is None:
        raise InputError("model.size is that of the weights, but model.weights names none")
    sizes = SIZED[config.architecture](config, classes.count, trained)
    return replace(sizes, normalisation=STATISTICS[config.statistics])


def _mamba_fcs(config: ModelConfig, classes: int, trained: ChangeConfig | AnyEncoderConfig | None) -> ChangeConfig:
    if config.size == AS_WEIGHTS and trained is not None:
        sizes = MambaFCSConfig(_of_kind(EncoderConfig, _encoder_of(trained)), classes)
    else:
        sizes = mamba_fcs(config.size, classes)
    encoder = _with_settings(sizes.encoder, config)
    return replace(sizes, encoder=encoder, change_guided_attention=config.change_guided_attention, fft=config.fft)


def _changemamba(config: ModelConfig, classes: int, trained: ChangeConfig | AnyEncoderConfig | None) -> ChangeConfig:
    if config.size != AS_WEIGHTS or trained is None:
        sizes = changemamba(config.size, classes)
    elif isinstance(trained, ChangeMambaConfig):
        sizes = replace(trained, classes=classes)
    else:
        sizes = ChangeMambaConfig(_of_kind(EncoderConfig, _encoder_of(trained)), classes)
    width = sizes.decoder_width if config.decoder_width is None else config.decoder_width
    return replace(sizes, encoder=_with_settings(sizes.encoder, config), decoder_width=width)


def _scannet(config: ModelConfig, classes: int, trained: ChangeConfig | AnyEncoderConfig | None) -> ChangeConfig:
    if config.size == AS_WEIGHTS and isinstance(trained, SCanNetConfig):
        sizes = replace(trained, classes=classes)
    elif config.size == AS_WEIGHTS and trained is not None:
        sizes = SCanNetConfig(_of_kind(ResNetConfig, _encoder_of(trained)), classes)
    else:
        sizes = scannet(config.size, classes)
    width, depths = config.width or sizes.encoder.width, config.depths or sizes.encoder.depths
    return replace(sizes, encoder=ResNetConfig(width, depths))


SIZED: dict[str, Callable[[ModelConfig, int, ChangeConfig | AnyEncoderConfig | None], ChangeConfig]] = {
    MambaFCSConfig.architecture: _mamba_fcs,
    ChangeMambaConfig.architecture: _changemamba,
    SCanNetConfig.architecture: _scannet,
}
"""From the keys of a training config to a model's, by architecture: which keys matter, each says itself."""


def _with_settings(usual: EncoderConfig, config: ModelConfig) -> EncoderConfig:
    """An encoder with what the config says in place of its own."""
    return replace(
        usual,
        width=usual.width if config.width is None else config.width,
        depths=usual.depths if config.depths is None else config.depths,
        drop_path=usual.drop_path if config.drop_path is None else config.drop_path,
    )


def _encoder_of(config: ChangeConfig | AnyEncoderConfig) -> AnyEncoderConfig:
    return config if isinstance(config, AnyEncoderConfig) else config.encoder


def _of_kind(kind: type[Encoder], config: AnyEncoderConfig) -> Encoder:
    """An encoder's config if it is of that kind; an `InputError` otherwise."""
    if not isinstance(config, kind):
        raise InputError(f"model.weights: holds a {config.kind}, the config's model has a {kind.kind}: see --model")
    return config


def _read(path: Path) -> Trained:
    """Native files by their description, others as published checkpoints."""
    if path.suffix == ".safetensors":
        info = read_info(path)
        if isinstance(info, EncoderInfo):
            return Trained(load_encoder(path), info.config, None)
        return Trained(load_weights(path).model, info.config, info.classes)
    tensors = read_checkpoint(path)
    if is_encoder(tensors):
        encoder, sizes = published_encoder(path, tensors)
        return Trained(encoder, sizes, None)
    classes = _published_classes(path, tensors)
    model, whole = published_model(path, tensors, classes)
    return Trained(model, whole, classes)


def _published_classes(path: Path, tensors: Tensors) -> ClassScheme:
    """The published scheme with as many classes as a checkpoint's model."""
    count = class_count(path, tensors)
    for scheme in SCHEMES.values():
        if scheme.count == count:
            return scheme
    raise InputError(f"{path}: was made for {count} classes: convert it with geofcs weights import first")


def _check_sizes(path: Path, trained: AnyEncoderConfig, wanted: AnyEncoderConfig) -> None:
    if trained.kind != wanted.kind:
        raise InputError(f"{path}: has a {trained.kind}, the config's model a {wanted.kind}: see --model")
    if isinstance(trained, EncoderConfig) and isinstance(wanted, EncoderConfig):
        trained = replace(trained, drop_path=wanted.drop_path)
    if trained != wanted:
        raise InputError(
            f"{path}: its encoder is {trained.said}, the config's is {wanted.said}: say --set model.size={AS_WEIGHTS}"
        )


def _take_over(
    path: Path, model: ChangeModel, trained: nn.Module, classes: ClassScheme, trained_classes: ClassScheme | None
) -> str:
    """Copy part by part; what depends on classes that differ stays fresh, and the sentence says so."""
    old, new = dict(trained.named_children()), dict(model.named_children())
    taken = [name for name in new if name in old and not (name in HEADS and trained_classes != classes)]
    for name in taken:
        _copy(path, name, old[name], new[name])
    fresh = [name for name in new if name not in taken]
    unknown = [name for name in fresh if name not in REMADE]
    if unknown:
        raise InputError(f"{path}: lacks {', '.join(unknown)}")
    said = f"all weights are those of {path.name}"
    if not fresh:
        return said
    was = "other" if trained_classes is None else trained_classes.name
    return f"{said} but for {', '.join(fresh)}: fresh, for the classes of {classes.name} instead of {was}"


def _copy(path: Path, name: str, old: nn.Module, new: nn.Module) -> None:
    have, wanted = ({key: tuple(tensor.shape) for key, tensor in part.state_dict().items()} for part in (old, new))
    different = sorted(key for key in have.keys() | wanted.keys() if have.get(key) != wanted.get(key))
    if different:
        raise InputError(
            f"{path}: its {name} has other tensors than the config's model: {len(different)} differ, such as "
            f"{different[0]}; see the keys of model"
        )
    new.load_state_dict(old.state_dict())
