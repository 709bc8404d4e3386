"""Import of published checkpoints: models of every architecture for any classes, and VMamba encoders.

Files are read with `weights_only=True` and never otherwise. Every tensor must be there in its shape, and none beside
them but for the dead `*.cross_attn.*` of Mamba-FCS and the classifier of VMamba.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geofcs.classes import ClassScheme
from geofcs.errors import InputError, UsageError
from geofcs.model.build import model_of, without_memory
from geofcs.model.config import ENCODERS, ChangeConfig, EncoderConfig, MambaFCSConfig
from geofcs.model.encoder import Encoder
from geofcs.model.interface import ChangeModel
from geofcs.model.names import published_name, published_shapes
from geofcs.model.weights import EncoderInfo, WeightsInfo, check_tensors, save_encoder, save_weights

Tensors = dict[str, Tensor]

WRAPPERS = ("model", "state_dict")
"""Keys under which a file may hold its tensors; VMamba's use the first."""

PREFIXES = ("module.", "model.")
"""What training in parallel, or inside another module, puts before every name."""

PUBLISHED_TILES = {"landsat": 416}
USUAL_TILE = 512
"""Pixels a side that the published models were trained at, by class scheme and otherwise."""

VMAMBA_SIGN = "patch_embed.5.weight"
"""A tensor of VMamba's classifiers that no whole model has under this name."""

BINARY_NAMES = {"decoder.": "decoder_bcd.", "main_clf.": "main_clf_cd."}
"""Beginnings of names in the binary variant of Mamba-FCS, and what the full model calls the same parts."""

UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, RuntimeError, ValueError, TypeError,
    LookupError, AttributeError, AssertionError, OverflowError,
)  # fmt: skip
"""What torch raises for a file that is damaged, no checkpoint, or holds objects that loading would have to run."""


def import_published(
    path: Path,
    out: Path,
    classes: ClassScheme | None,
    tile: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> WeightsInfo | EncoderInfo:
    """Convert a published checkpoint to a native file; width, depths and ratio follow from its tensors.

    A VMamba file becomes a bare encoder, whose four output norms start fresh. Without `tile` the model was trained at
    the size that its authors used for these classes. Raises `InputError` for whatever is wrong with the file, naming
    every tensor that does not fit; `UsageError` where a whole model comes without its classes.
    """
    tensors = read_checkpoint(path)
    if is_encoder(tensors):
        encoder, encoder_config = published_encoder(path, tensors)
        return save_encoder(out, encoder, encoder_config, f"by the authors of VMamba, to classify ({path.name})", dtype)
    if classes is None:
        raise UsageError(f"{path}: holds a whole model: say --classes second, landsat or binary")
    model, config = published_model(path, tensors, classes)
    tile = tile or PUBLISHED_TILES.get(classes.name, USUAL_TILE)
    authors = RELEASED[config.architecture].authors
    return save_weights(out, model, config, classes, tile, f"by the authors of {authors} ({path.name})", dtype)


def read_checkpoint(path: Path) -> Tensors:
    """The tensors of a .pth file by their published names, unwrapped. Raises `InputError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles: what matters is whether tensors come out
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except UNREADABLE as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path}: is no checkpoint of tensors alone, and nothing else is loaded: {reason}") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return _plain_names(_tensors(path, content))


def published_model(path: Path, tensors: Tensors, classes: ClassScheme) -> tuple[ChangeModel, ChangeConfig]:
    """The model that a checkpoint's tensors make, in eval mode. Raises `InputError` as `import_published` does."""
    architecture = architecture_of(path, tensors)
    count = class_count(path, tensors)
    if count != classes.count:
        raise InputError(f"{path}: was made for {count} classes, but {classes.name} has {classes.count}: see --classes")
    tensors = RELEASED[architecture].as_released(tensors)
    config = RELEASED[architecture].config(path, tensors, count)
    model = without_memory(model_of, config)
    _fill(path, model, tensors, architecture)
    return model.eval(), config


def is_encoder(tensors: Tensors) -> bool:
    """Whether they are a classifier's, of which the encoder is taken."""
    return VMAMBA_SIGN in tensors


def architecture_of(path: Path, tensors: Tensors) -> str:
    """The architecture of a released model, by tensors that no other has; raises `InputError`."""
    for architecture, released in RELEASED.items():
        if any(sign in tensors for sign in released.signs):
            return architecture
    signs = "; ".join(f"{name} has {' or '.join(released.signs)}" for name, released in RELEASED.items())
    raise InputError(f"{path}: holds no model that is known here: {signs}; a VMamba encoder has {VMAMBA_SIGN}")


def class_count(path: Path, tensors: Tensors) -> int:
    """K of a released model, 1 for a binary one, which lacks the head."""
    head = RELEASED[architecture_of(path, tensors)].head
    has_head = any(name.startswith(f"{head.split('.')[0]}.") for name in tensors)
    return _length(path, tensors, head, 0) if has_head else 1


def published_encoder(path: Path, tensors: Tensors) -> tuple[Encoder, EncoderConfig]:
    """The encoder that VMamba's tensors make; its output norms, which its files lack, are fresh."""
    tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    config = _encoder_config(path, tensors)
    encoder = without_memory(Encoder, config)
    norms = {published_name(f"encoder.norms.{level}", "mamba-fcs"): width for level, width in enumerate(config.widths)}
    fresh = {f"{norm}.weight": torch.ones(width) for norm, width in norms.items()}
    fresh |= {f"{norm}.bias": torch.zeros(width) for norm, width in norms.items()}
    _fill(path, encoder, fresh | tensors, "mamba-fcs", prefix="encoder.")
    return encoder, config


def _fill(path: Path, module: nn.Module, tensors: Tensors, architecture: str, prefix: str = "") -> None:
    """Give a module without memory published tensors; `prefix` is where it sits in a model of the architecture."""
    wanted = {
        name: (published_name(prefix + name, architecture), tensor) for name, tensor in module.state_dict().items()
    }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    shapes = {}
    for name, (published, tensor) in wanted.items():
        allowed = published_shapes(prefix + name, tuple(tensor.shape))
        shapes[published] = found[published] if found.get(published) in allowed else allowed[0]
    check_tensors(path, shapes, found)
    filled = {
        name: tensors[published].reshape(tensor.shape).to(tensor.dtype, copy=True)
        for name, (published, tensor) in wanted.items()
    }
    module.load_state_dict(filled, assign=True)


def _encoder_config(path: Path, tensors: Tensors) -> EncoderConfig:
    """Width, depths and ratios as the tensors show them; the stochastic depth is that of the published encoder."""
    width = _length(path, tensors, "encoder.patch_embed.5.weight", 0)
    first_block = "encoder.layers.0.blocks.0"
    config = EncoderConfig(
        width=width,
        depths=(_depth(tensors, 0), _depth(tensors, 1), _depth(tensors, 2), _depth(tensors, 3)),
        ratio=_length(path, tensors, f"{first_block}.op.in_proj.weight", 0) / width,
        mlp_ratio=_length(path, tensors, f"{first_block}.mlp.fc1.weight", 0) / width,
    )
    return next((known for known in ENCODERS.values() if replace(known, drop_path=config.drop_path) == config), config)


def _depth(tensors: Tensors, stage: int) -> int:
    """The number of blocks of a stage, by its highest index; no more than could be there."""
    pattern = re.compile(rf"encoder\.layers\.{stage}\.blocks\.(\d{{1,9}})\.")
    indices = [int(match[1]) for match in map(pattern.match, tensors) if match]
    return min(max(indices, default=0) + 1, len(tensors))


def _length(path: Path, tensors: Tensors, name: str, axis: int) -> int:
    if name not in tensors or tensors[name].ndim <= axis or tensors[name].shape[axis] == 0:
        raise InputError(f"{path}: lacks a usable {name}, from which its size would follow")
    return tensors[name].shape[axis]


def _tensors(path: Path, content: object) -> Tensors:
    """The state dict that a file's content is, or an `InputError`."""
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds no state dict, but {type(content).__name__}")
    odd = [
        str(name)
        for name, value in content.items()
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout is not torch.strided
    ]
    if odd:
        raise InputError(f"{path}: holds more than tensors: {', '.join(odd)}")
    return dict(content)


def _plain_names(tensors: Tensors) -> Tensors:
    """Names without what training put before them."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _mamba_fcs_as_released(tensors: Tensors) -> Tensors:
    """Names of the binary variant as in the whole model, dead tensors left out."""
    for binary, whole in BINARY_NAMES.items():
        tensors = {re.sub(f"^{re.escape(binary)}", whole, name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in tensors.items() if ".cross_attn." not in name}


def _mamba_fcs_config(path: Path, tensors: Tensors, classes: int) -> MambaFCSConfig:
    return MambaFCSConfig(_encoder_config(path, tensors), classes)


class Released(NamedTuple):
    """What is known of an architecture's released checkpoints.

    `signs` are names of tensors of which a checkpoint has one and no other architecture has any, `head` is a tensor
    whose first axis are the classes. `as_released` gives tensors their usual names and leaves out what is dead;
    `config` reads all sizes from such tensors, given the number of classes.
    """

    authors: str
    signs: tuple[str, ...]
    head: str
    as_released: Callable[[Tensors], Tensors]
    config: Callable[[Path, Tensors, int], ChangeConfig]


RELEASED = {
    "mamba-fcs": Released(
        "Mamba-FCS", ("main_clf_cd.final_conv.0.weight", "main_clf.final_conv.0.weight"), "aux_clf.final_conv.0.weight",
        _mamba_fcs_as_released, _mamba_fcs_config,
    ),
}  # fmt: skip
"""By architecture."""
