"""Published checkpoints, in and out: models of every architecture for any classes, and encoders trained to classify.

Files are read with `weights_only=True` and never otherwise. Every tensor must be there in its shape, and none beside
them but for the dead `*.cross_attn.*` of Mamba-FCS and the classifiers of encoders.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from geofcs.classes import ClassScheme
from geofcs.durable import written_whole
from geofcs.errors import InputError, OutputError, UsageError
from geofcs.model.build import model_of, without_memory
from geofcs.model.config import AnyEncoderConfig, ChangeConfig, EncoderConfig, ResNetConfig
from geofcs.model.encoder import Encoder
from geofcs.model.interface import ChangeModel
from geofcs.model.names import published_name, published_shapes
from geofcs.model.released import (
    RELEASED,
    RESNET,
    VMAMBA,
    Tensors,
    architecture_of,
    class_count,
    classes_of_authors,
    is_encoder,
    resnet_config,
    vmamba_config,
)
from geofcs.model.resnet import ResNet
from geofcs.model.weights import EncoderInfo, WeightsInfo, check_tensors, load_weights, save_encoder, save_weights

WRAPPERS = ("model", "state_dict")
"""Keys under which a file may hold its tensors; VMamba's use the first."""

SETTINGS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [(OrderedDict, "yacs.config.CfgNode")]
"""What VMamba's training saves beside the tensors: a mapping, which is read as one without the code of its class."""

PREFIXES = ("module.", "model.")
"""What training in parallel, or inside another module, puts before every name."""

PUBLISHED_TILES = {"landsat": 416}
USUAL_TILE = 512
"""Pixels a side that the published models were trained at, by class scheme and otherwise."""

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
            with torch.serialization.safe_globals(SETTINGS):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): name a file that may be read") from error
    except UNREADABLE as error:
        # What torch says of code in a file is how to run it.
        raise InputError(
            f"{path}: is damaged, or no checkpoint of tensors alone, and nothing else is loaded, for it could run "
            "code: copy it again, or save its state_dict() where it comes from"
        ) from error
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


def export_published(path: Path, out: Path) -> WeightsInfo:
    """Write a native file's model as its authors would have (`published_tensors`), all at once by rename.

    Raises `InputError` for a file that is no model's, `OutputError` where nothing can be written.
    """
    loaded = load_weights(path)
    try:
        with written_whole(out) as unfinished:
            torch.save(published_tensors(loaded.model, loaded.info.classes), unfinished)
    except (OSError, RuntimeError) as error:  # torch's writer of files raises the second
        raise OutputError(f"{out}: cannot be written: {error}") from error
    return loaded.info


def _reorder_classes(model: ChangeModel, order: tuple[int, ...]) -> None:
    """Bring the channels of a model with the authors' classes into our order."""
    state = model.state_dict()
    with torch.no_grad():
        for name in RELEASED[model.config.architecture].by_class:
            state[name].copy_(state[name][list(order)])


def published_encoder(path: Path, tensors: Tensors) -> tuple[nn.Module, AnyEncoderConfig]:
    """The encoder that a classifier's tensors make."""
    read = next(read for sign, read in RELEASED_ENCODERS.items() if sign in tensors)
    return read(path, tensors)


def _vmamba(path: Path, tensors: Tensors) -> tuple[Encoder, EncoderConfig]:
    """VMamba's, whose output norms, which its files lack, are fresh."""
    tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    config = vmamba_config(path, tensors)
    encoder = without_memory(Encoder, config)
    norms = {published_name(f"encoder.norms.{level}", "mamba-fcs"): width for level, width in enumerate(config.widths)}
    fresh = {f"{norm}.weight": torch.ones(width) for norm, width in norms.items()}
    fresh |= {f"{norm}.bias": torch.zeros(width) for norm, width in norms.items()}
    _fill(path, encoder, fresh | tensors, "mamba-fcs", prefix="encoder.")
    return encoder, config


def _resnet(path: Path, tensors: Tensors) -> tuple[ResNet, ResNetConfig]:
    """A ResNet of basic blocks in torchvision's layout; its older files do not count batch norms' batches."""
    tensors = {f"encoder.{name}": tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    config = resnet_config(path, tensors, "encoder.conv1.weight", "encoder")
    encoder = without_memory(ResNet, config)
    counts = {f"encoder.{name}" for name in encoder.state_dict() if name.endswith("num_batches_tracked")}
    tensors = dict.fromkeys(counts, torch.zeros((), dtype=torch.long)) | tensors
    published = {published_name(name, "scannet"): tensor for name, tensor in tensors.items()}
    _fill(path, encoder, published, "scannet", prefix="encoder.")
    return encoder, config


RELEASED_ENCODERS: dict[str, Callable[[Path, Tensors], tuple[nn.Module, AnyEncoderConfig]]] = {
    VMAMBA: _vmamba,
    RESNET: _resnet,
}
"""How a classifier's file is read, by the tensor that is its sign."""


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
