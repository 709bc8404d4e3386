"""The model that training starts from: fresh, on a trained encoder, or a trained model with new heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from geofcs.classes import SCHEMES, ClassScheme
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.config import ENCODERS, EncoderConfig, MambaFCSConfig, mamba_fcs, pico
from geofcs.model.encoder import Encoder
from geofcs.model.fcs import MambaFCS
from geofcs.model.published import published_encoder, published_model, read_checkpoint
from geofcs.model.weights import EncoderInfo, load_encoder, load_weights, read_info
from geofcs.training.config import ModelConfig

PICO = "pico"
AS_WEIGHTS = "weights"
"""The size that stands for "that of the file in model.weights"."""

PUBLISHED_ENCODER_KEY = "patch_embed.5.weight"

REMADE = ("land_cover_head", "t1_decoder", "t2_decoder")
"""Parts that another model may have differently, or not at all: the head that knows the classes, and what feeds it."""


class Start(NamedTuple):
    """A model in training mode on the CPU, and a sentence on where its weights come from."""

    model: MambaFCS
    said: str


class Trained(NamedTuple):
    """What a file holds: a module, its encoder's sizes, and the classes that a whole model was trained for."""

    module: Encoder | MambaFCS
    encoder: EncoderConfig
    classes: ClassScheme | None


def starting_model(config: ModelConfig, classes: ClassScheme, seed: int) -> Start:
    """The model that a config asks for. Raises `InputError` where the weights' sizes are not those of the config."""
    trained = None if config.weights is None else _read(config.weights)
    sizes = model_sizes(config, classes, None if trained is None else trained.encoder)
    model = build(sizes, seed)
    if trained is None or config.weights is None:
        return Start(model, "the weights are fresh")
    _check_sizes(config.weights, trained.encoder, sizes.encoder)
    if isinstance(trained.module, Encoder):
        model.encoder.load_state_dict(trained.module.state_dict())
        return Start(model, f"the encoder is that of {config.weights.name}, all else is fresh")
    return Start(model, _take_over(config.weights, model, trained.module, classes, trained.classes))


def model_sizes(config: ModelConfig, classes: ClassScheme, trained: EncoderConfig | None = None) -> MambaFCSConfig:
    """The sizes that a config asks for; `trained` is the encoder of its weights, if it names some."""
    if config.size == AS_WEIGHTS:
        if trained is None:
            raise InputError("model.size is that of the weights, but model.weights names none")
        sizes = MambaFCSConfig(trained, classes.count)
    elif config.size == PICO:
        sizes = pico(classes.count)
    elif config.size in ENCODERS:
        sizes = mamba_fcs(config.size, classes.count)
    else:
        raise InputError(f"model.size: no model is called {config.size!r}; known: {PICO}, {', '.join(ENCODERS)}")
    usual = sizes.encoder
    encoder = replace(
        usual,
        width=usual.width if config.width is None else config.width,
        depths=usual.depths if config.depths is None else config.depths,
        drop_path=usual.drop_path if config.drop_path is None else config.drop_path,
    )
    return replace(sizes, encoder=encoder, change_guided_attention=config.change_guided_attention, fft=config.fft)


def _read(path: Path) -> Trained:
    """Native files by their description, others as published checkpoints."""
    if path.suffix == ".safetensors":
        info = read_info(path)
        if isinstance(info, EncoderInfo):
            return Trained(load_encoder(path), info.config, None)
        return Trained(load_weights(path).model, info.config.encoder, info.classes)
    tensors = read_checkpoint(path)
    if PUBLISHED_ENCODER_KEY in tensors:
        encoder, sizes = published_encoder(path, tensors)
        return Trained(encoder, sizes, None)
    classes = _published_classes(path, tensors)
    model, whole = published_model(path, tensors, classes)
    return Trained(model, whole.encoder, classes)


def _published_classes(path: Path, tensors: dict[str, Tensor]) -> ClassScheme:
    """The published scheme with as many classes as the checkpoint's land-cover head, binary where it has none."""
    head = tensors.get("aux_clf.final_conv.0.weight")
    count = 1 if head is None else len(head)
    for scheme in SCHEMES.values():
        if scheme.count == count:
            return scheme
    raise InputError(f"{path}: was made for {count} classes: convert it with geofcs weights import first")


def _check_sizes(path: Path, trained: EncoderConfig, wanted: EncoderConfig) -> None:
    if replace(trained, drop_path=wanted.drop_path) != wanted:
        raise InputError(
            f"{path}: its encoder has width {trained.width}, depths {trained.depths} and ratio {trained.ratio:g}, the "
            f"config's {wanted.width}, {wanted.depths} and {wanted.ratio:g}: say --set model.size={AS_WEIGHTS}"
        )


def _take_over(
    path: Path, model: MambaFCS, trained: MambaFCS, classes: ClassScheme, trained_classes: ClassScheme | None
) -> str:
    """Copy part by part; what depends on classes that differ stays fresh, and the sentence says so."""
    old, new = dict(trained.named_children()), dict(model.named_children())
    taken = [name for name in new if name in old and not (name == REMADE[0] and trained_classes != classes)]
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
            f"{different[0]}; see model.fft and model.change_guided_attention"
        )
    new.load_state_dict(old.state_dict())
