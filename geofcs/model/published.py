"""Published checkpoints, in and out: models of every architecture for any classes, and encoders trained to classify.

Files are read with `weights_only=True` and never otherwise. Every tensor must be there in its shape, and none beside
them but for the dead `*.cross_attn.*` of Mamba-FCS and the classifiers of encoders.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from geofcs.classes import ClassScheme
from geofcs.errors import InputError, UsageError
from geofcs.model.build import model_of, without_memory
from geofcs.model.config import (
    ENCODERS,
    LEVELS,
    STATISTICS,
    AnyEncoderConfig,
    ChangeConfig,
    ChangeMambaConfig,
    EncoderConfig,
    MambaFCSConfig,
    ResNetConfig,
    SCanNetConfig,
)
from geofcs.model.encoder import Encoder
from geofcs.model.interface import ChangeModel
from geofcs.model.names import published_name, published_shapes, released_name
from geofcs.model.resnet import ResNet
from geofcs.model.weights import EncoderInfo, WeightsInfo, check_tensors, save_encoder, save_weights

Tensors = dict[str, Tensor]

WRAPPERS = ("model", "state_dict")
"""Keys under which a file may hold its tensors; VMamba's use the first."""

PREFIXES = ("module.", "model.")
"""What training in parallel, or inside another module, puts before every name."""

PUBLISHED_TILES = {"landsat": 416}
USUAL_TILE = 512
"""Pixels a side that the published models were trained at, by class scheme and otherwise."""

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
    """Convert a published checkpoint to a native file; all sizes follow from its tensors.

    A VMamba file becomes a bare encoder, whose four output norms start fresh, and so does a ResNet in torchvision's
    layout. Channels of classes are brought into the order of `classes`, where the authors have another. Without `tile`
    the model was trained at the size that its authors used for these classes. Raises `InputError` for whatever is wrong
    with the file, naming every tensor that does not fit; `UsageError` where a whole model comes without its classes.
    """
    tensors = read_checkpoint(path)
    if is_encoder(tensors):
        encoder, encoder_config = published_encoder(path, tensors)
        return save_encoder(out, encoder, encoder_config, f"by others, to classify images ({path.name})", dtype)
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
    config = RELEASED[architecture].config(path, tensors, classes)
    model = without_memory(model_of, config)
    _fill(path, model, tensors, architecture)
    _reorder_classes(model, classes_of_authors(architecture, classes))
    return model.eval(), config


def published_tensors(model: ChangeModel, classes: ClassScheme) -> Tensors:
    """A model's tensors with the names, shapes and order of classes of its authors: what `published_model` undoes.

    Those that do nothing, and that importing leaves out, are not there.
    """
    architecture = model.config.architecture
    ours = dict(model.state_dict())
    order = torch.tensor(classes_of_authors(architecture, classes)).argsort()
    for name in RELEASED[architecture].by_class:
        ours[name] = ours[name][order]
    return {
        published_name(name, architecture): tensor.reshape(published_shapes(name, tuple(tensor.shape))[0])
        for name, tensor in ours.items()
    }


def classes_of_authors(architecture: str, classes: ClassScheme) -> tuple[int, ...]:
    """For each of our class ids the id that the authors of an architecture gave that class."""
    return RELEASED[architecture].class_ids.get(classes.name, tuple(range(classes.count)))


def _reorder_classes(model: ChangeModel, order: tuple[int, ...]) -> None:
    """Bring the channels of a model with the authors' classes into our order."""
    state = model.state_dict()
    with torch.no_grad():
        for name in RELEASED[model.config.architecture].by_class:
            state[name].copy_(state[name][list(order)])


def is_encoder(tensors: Tensors) -> bool:
    """Whether they are a classifier's, of which the encoder is taken."""
    return any(sign in tensors for sign in RELEASED_ENCODERS)


def architecture_of(path: Path, tensors: Tensors) -> str:
    """The architecture of a released model, by tensors that no other has; raises `InputError`."""
    for architecture, released in RELEASED.items():
        if any(sign in tensors for sign in released.signs):
            return architecture
    signs = "; ".join(f"{name} has {' or '.join(released.signs)}" for name, released in RELEASED.items())
    encoders = " or ".join(RELEASED_ENCODERS)
    raise InputError(f"{path}: holds no model that is known here: {signs}; an encoder has {encoders}")


def class_count(path: Path, tensors: Tensors) -> int:
    """K of a released model, 1 for a binary one, which lacks the head."""
    head = RELEASED[architecture_of(path, tensors)].head
    has_head = any(name.startswith(f"{head.split('.')[0]}.") for name in tensors)
    return _length(path, tensors, head, 0) if has_head else 1


def published_encoder(path: Path, tensors: Tensors) -> tuple[nn.Module, AnyEncoderConfig]:
    """The encoder that a classifier's tensors make."""
    read = next(read for sign, read in RELEASED_ENCODERS.items() if sign in tensors)
    return read(path, tensors)


def _vmamba(path: Path, tensors: Tensors) -> tuple[Encoder, EncoderConfig]:
    """VMamba's, whose output norms, which its files lack, are fresh."""
    tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    config = _encoder_config(path, tensors)
    encoder = without_memory(Encoder, config)
    norms = {published_name(f"encoder.norms.{level}", "mamba-fcs"): width for level, width in enumerate(config.widths)}
    fresh = {f"{norm}.weight": torch.ones(width) for norm, width in norms.items()}
    fresh |= {f"{norm}.bias": torch.zeros(width) for norm, width in norms.items()}
    _fill(path, encoder, fresh | tensors, "mamba-fcs", prefix="encoder.")
    return encoder, config


def _resnet(path: Path, tensors: Tensors) -> tuple[ResNet, ResNetConfig]:
    """A ResNet of basic blocks in torchvision's layout; its older files do not count batch norms' batches."""
    tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    config = _resnet_config(path, tensors, "encoder.conv1.weight", "encoder")
    encoder = without_memory(ResNet, config)
    counts = {f"encoder.{name}" for name in encoder.state_dict() if name.endswith("num_batches_tracked")}
    tensors = dict.fromkeys(counts, torch.zeros((), dtype=torch.long)) | tensors
    published = {published_name(name, "scannet"): tensor for name, tensor in tensors.items()}
    _fill(path, encoder, published, "scannet", prefix="encoder.")
    return encoder, config


RELEASED_ENCODERS: dict[str, Callable[[Path, Tensors], tuple[nn.Module, AnyEncoderConfig]]] = {
    "patch_embed.5.weight": _vmamba,
    "layer1.0.conv1.weight": _resnet,
}
"""How a classifier's file is read, by a tensor that no whole model has under this name."""


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
        depths=_depths(tensors, [f"encoder.layers.{stage}.blocks" for stage in range(LEVELS)]),
        ratio=_length(path, tensors, f"{first_block}.op.in_proj.weight", 0) / width,
        mlp_ratio=_length(path, tensors, f"{first_block}.mlp.fc1.weight", 0) / width,
    )
    return next((known for known in ENCODERS.values() if replace(known, drop_path=config.drop_path) == config), config)


def _resnet_config(path: Path, tensors: Tensors, first: str, beginning: str) -> ResNetConfig:
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


def _mamba_fcs_config(path: Path, tensors: Tensors, classes: ClassScheme) -> MambaFCSConfig:
    return MambaFCSConfig(_encoder_config(path, tensors), classes.count)


def _scannet_config(path: Path, tensors: Tensors, classes: ClassScheme) -> SCanNetConfig:
    """Sizes as the tensors show them, statistics as the authors took them for these classes."""
    return SCanNetConfig(
        _resnet_config(path, tensors, "FCN.layer0.0.weight", "FCN"),
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
    return ChangeMambaConfig(_encoder_config(path, tensors), classes.count, width)


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
