"""What is known of released checkpoints: how each architecture's are recognised, its sizes, its order of classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor

from geofcs.classes import ClassScheme
from geofcs.errors import InputError
from geofcs.model.config import (
    LEVELS,
    STATISTICS,
    ChangeConfig,
    ChangeMambaConfig,
    EncoderConfig,
    MambaFCSConfig,
    ResNetConfig,
    SCanNetConfig,
)
from geofcs.model.names import released_name
from geofcs.model.sizes import ENCODERS

Tensors = dict[str, Tensor]

ENCODER_SIGNS = VMAMBA, RESNET = "patch_embed.5.weight", "layer1.0.conv1.weight"
"""Tensors of classifiers, VMamba's and torchvision's ResNets, that no whole model has under these names."""

BINARY_NAMES = {"decoder.": "decoder_bcd.", "main_clf.": "main_clf_cd."}
"""Beginnings of names in the binary variant of Mamba-FCS, and what the full model calls the same parts."""


def is_encoder(tensors: Tensors) -> bool:
    """Whether they are a classifier's, of which the encoder is taken."""
    return any(sign in tensors for sign in ENCODER_SIGNS)


def architecture_of(path: Path, tensors: Tensors) -> str:
    """The architecture of a released model, by tensors that no other has; raises `InputError`."""
    for architecture, released in RELEASED.items():
        if any(sign in tensors for sign in released.signs):
            return architecture
    signs = "; ".join(f"{name} has {' or '.join(released.signs)}" for name, released in RELEASED.items())
    encoders = " or ".join(ENCODER_SIGNS)
    raise InputError(f"{path}: holds no model that is known here: {signs}; an encoder has {encoders}")


def class_count(path: Path, tensors: Tensors) -> int:
    """K of a released model, 1 for a binary one, which lacks the head."""
    head = RELEASED[architecture_of(path, tensors)].head
    has_head = any(name.startswith(f"{head.split('.')[0]}.") for name in tensors)
    return _length(path, tensors, head, 0) if has_head else 1


def classes_of_authors(architecture: str, classes: ClassScheme) -> tuple[int, ...]:
    """For each of our class ids the id that the authors of an architecture gave that class."""
    return RELEASED[architecture].class_ids.get(classes.name, tuple(range(classes.count)))


def vmamba_config(path: Path, tensors: Tensors) -> EncoderConfig:
    """Width, depths and ratios as the tensors show them; the stochastic depth is that of the published encoder."""
    width = _length(path, tensors, "encoder.patch_embed.5.weight", 0)
    first_block = "encoder.layers.0.blocks.0"
    config = EncoderConfig(
        width=width,
        depths=_depths(tensors, [f"encoder.layers.{stage}.blocks" for stage in range(LEVELS)]),
        ratio=_length(path, tensors, f"{first_block}.op.in_proj.weight", 0) / width,
        mlp_ratio=_length(path, tensors, f"{first_block}.mlp.fc1.weight", 0) / width,
    )
    return next((known for known in ENCODERS.values() if replace(known, drop_path=config.drop_path) == config), config)


def resnet_config(path: Path, tensors: Tensors, first: str, beginning: str) -> ResNetConfig:
    """Width and depths as the tensors show them: `first` is the first convolution's, `beginning` that of layers'."""
    depths = _depths(tensors, [f"{beginning}.layer{level}" for level in range(1, LEVELS + 1)])
    return ResNetConfig(_length(path, tensors, first, 0), depths)


def _depths(tensors: Tensors, stages: Sequence[str]) -> tuple[int, int, int, int]:
    """The numbers of blocks of the four stages whose names begin so."""
    first, second, third, fourth = (_depth(tensors, stage) for stage in stages)
    return first, second, third, fourth


def _depth(tensors: Tensors, beginning: str) -> int:
    """The number of blocks whose names begin so, by the highest index behind that; no more than could be there."""
    pattern = re.compile(rf"{re.escape(beginning)}\.(\d{{1,9}})\.")
    indices = [int(match[1]) for match in map(pattern.match, tensors) if match]
    return min(max(indices, default=0) + 1, len(tensors))


def _length(path: Path, tensors: Tensors, name: str, axis: int) -> int:
    if name not in tensors or tensors[name].ndim <= axis or tensors[name].shape[axis] == 0:
        raise InputError(f"{path}: lacks a usable {name}, from which its size would follow")
    return tensors[name].shape[axis]


def _mamba_fcs_as_released(tensors: Tensors) -> Tensors:
    """Names of the binary variant as in the whole model, dead tensors left out."""
    for binary, whole in BINARY_NAMES.items():
        tensors = {re.sub(f"^{re.escape(binary)}", whole, name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in tensors.items() if ".cross_attn." not in name}


def _mamba_fcs_config(path: Path, tensors: Tensors, classes: ClassScheme) -> MambaFCSConfig:
    return MambaFCSConfig(vmamba_config(path, tensors), classes.count)


def _scannet_config(path: Path, tensors: Tensors, classes: ClassScheme) -> SCanNetConfig:
    """Sizes as the tensors show them, statistics as the authors took them for these classes."""
    return SCanNetConfig(
        resnet_config(path, tensors, "FCN.layer0.0.weight", "FCN"),
        classes.count,
        compare_depth=_depth(tensors, "resCD"),
        depth=_depth(tensors, "transformer.stage"),
        normalisation=STATISTICS.get(classes.name, STATISTICS["imagenet"]),
    )


def _as_it_is(tensors: Tensors) -> Tensors:
    return tensors


def _changemamba_as_released(tensors: Tensors) -> Tensors:
    """Names of today's code as they were when checkpoints were released."""
    return {released_name(name): tensor for name, tensor in tensors.items()}


def _changemamba_config(path: Path, tensors: Tensors, classes: ClassScheme) -> ChangeMambaConfig:
    width = _length(path, tensors, "decoder_bcd.fuse_layer_1.0.weight", 0)
    return ChangeMambaConfig(vmamba_config(path, tensors), classes.count, width)


class Released(NamedTuple):
    """What is known of an architecture's released checkpoints.

    `signs` are names of tensors of which a checkpoint has one and no other architecture has any, `head` is a tensor
    whose first axis are the classes. `as_released` gives tensors their usual names and leaves out what is dead;
    `config` reads all sizes from such tensors, given the classes. `class_ids` are the authors' ids of our classes, by
    class scheme, where they differ, `by_class` our names of the tensors that have a row for each.
    """

    authors: str
    signs: tuple[str, ...]
    head: str
    as_released: Callable[[Tensors], Tensors]
    config: Callable[[Path, Tensors, ClassScheme], ChangeConfig]
    class_ids: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    by_class: tuple[str, ...] = ()


RELEASED = {
    "mamba-fcs": Released(
        "Mamba-FCS", ("main_clf_cd.final_conv.0.weight", "main_clf.final_conv.0.weight"), "aux_clf.final_conv.0.weight",
        _mamba_fcs_as_released, _mamba_fcs_config,
    ),
    "changemamba": Released(
        "ChangeMamba", ("main_clf_cd.weight",), "aux_clf.weight", _changemamba_as_released, _changemamba_config
    ),
    "scannet": Released(
        "SCanNet", ("FCN.layer0.0.weight",), "classifierA.weight", _as_it_is, _scannet_config,
        # Its water is 1, ground 2, low vegetation 3, tree 4, building 5, sports field 6.
        class_ids={"second": (0, 3, 2, 4, 1, 5, 6)},
        by_class=("t1_head.weight", "t1_head.bias", "t2_head.weight", "t2_head.bias"),
    ),
}  # fmt: skip
"""By architecture."""
