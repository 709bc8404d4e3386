"""Native weights files: safetensors that say themselves what they are, checked by a hash when they are loaded.

The header's one metadata entry, `geofcs`, is a JSON object: format, architecture, config, classes (names and colours),
tile, trained (free text) and sha256 (of the tensors' names, dtypes, shapes and bytes).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geofcs.classes import ClassScheme, LandCover
from geofcs.durable import written_whole
from geofcs.errors import InputError, OutputError
from geofcs.model.build import ARCHITECTURES, ENCODER_KINDS, Module, encoder_of, model_of, without_memory
from geofcs.model.config import AnyEncoderConfig, ChangeConfig, Colour
from geofcs.model.interface import ChangeModel

FORMAT = 1
"""The version of the metadata that this code writes, and the newest it reads."""

METADATA = "geofcs"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says of itself.

    `tile` is the side in pixels that the model was trained at, `trained` says on what and how, `sha256` is the hash of
    the tensors.
    """

    config: ChangeConfig
    classes: ClassScheme
    tile: int
    trained: str
    sha256: str

    @property
    def architecture(self) -> str:
        """The name of the kind of model."""
        return self.config.architecture

    @property
    def mean_colours(self) -> tuple[Colour, Colour]:
        """The colour, RGB 0-255, that is 0 to the model, per date."""
        first, second = self.config.normalisation
        return first.mean, second.mean


@dataclass(frozen=True)
class EncoderInfo:
    """What the file of a bare encoder says of itself: something to start training from."""

    config: AnyEncoderConfig
    trained: str
    sha256: str

    @property
    def architecture(self) -> str:
        """The name of the kind of encoder."""
        return self.config.kind


@dataclass(frozen=True)
class LoadedWeights:
    """A model with its weights, float32, in eval mode.

    `checked` is done when the tensors were seen to be those that were written, by their hash; its result raises
    `InputError` where they are not.
    """

    model: ChangeModel
    info: WeightsInfo
    checked: Future[None]


def read_info(path: Path) -> WeightsInfo | EncoderInfo:
    """What a weights file says of itself, whichever kind it is; reads the header only.

    Raises `InputError` for a file that is missing, damaged, no geofcs file, or newer than this code.
    """
    with _opened(path) as file:
        return _info(path, file.metadata() or {})


def read_weights_info(path: Path) -> WeightsInfo:
    """The same for a model that can detect; an encoder alone is an `InputError`."""
    info = read_info(path)
    if isinstance(info, EncoderInfo):
        raise InputError(f"{path}: holds an encoder only, to start training from; detection needs a whole model")
    return info


def load_weights(path: Path, device: str = "cpu") -> LoadedWeights:
    """The model that a file holds, on a device.

    Raises `InputError` as `read_info` does, and where tensors do not fit the config or are damaged.
    """
    loaded = load_unchecked(path, device)
    loaded.checked.result()
    return loaded


def load_unchecked(path: Path, device: str) -> LoadedWeights:
    """The same before it is known that tensors are not damaged, which takes longer than all else."""
    info = read_weights_info(path)
    model, checked = _filled(lambda: without_memory(model_of, info.config), path, info.sha256, device)
    return LoadedWeights(model.eval(), info, checked)


def load_encoder(path: Path) -> nn.Module:
    """The encoder that a file made by `save_encoder` holds, in training mode; raises `InputError`."""
    info = read_info(path)
    if not isinstance(info, EncoderInfo):
        raise InputError(f"{path}: holds a whole model ({info.architecture}), not an encoder")
    encoder, checked = _filled(lambda: without_memory(encoder_of, info.config), path, info.sha256, "cpu")
    checked.result()
    return encoder


def save_weights(
    path: Path,
    model: ChangeModel,
    config: ChangeConfig,
    classes: ClassScheme,
    tile: int,
    trained: str,
    dtype: torch.dtype = torch.float32,
) -> WeightsInfo:
    """Write a model, all at once by rename; `dtype` float16 halves the file. Raises `OutputError`."""
    if classes.count != config.classes:
        raise InputError(f"{classes.name} has {classes.count} classes, the model {config.classes}")
    covers = [asdict(cover) for cover in classes.land_covers]
    content = {"classes": {"name": classes.name, "land_covers": covers}, "tile": tile, "trained": trained}
    sha256 = _write(path, config.architecture, model, asdict(config), content, dtype)
    return WeightsInfo(config, classes, tile, trained, sha256)


def save_encoder(
    path: Path, encoder: nn.Module, config: AnyEncoderConfig, trained: str, dtype: torch.dtype = torch.float32
) -> EncoderInfo:
    """Write a bare encoder in the same way."""
    sha256 = _write(path, config.kind, encoder, asdict(config), {"trained": trained}, dtype)
    return EncoderInfo(config, trained, sha256)


def check_tensors(path: Path, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise an `InputError` that names every tensor that is missing, unexpected or of another shape than wanted."""
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    misshapen = [
        f"{name} is {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    faults = {"missing": missing, "unexpected": extra, "of another shape": misshapen}
    said = [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in faults.items() if names]
    if said:
        raise InputError(f"{path}: does not hold the tensors of its architecture; {'; '.join(said)}")


def _write(
    path: Path,
    architecture: str,
    module: nn.Module,
    config: dict[str, Any],
    content: dict[str, Any],
    dtype: torch.dtype,
) -> str:
    tensors = {name: _stored(tensor, dtype) for name, tensor in module.state_dict().items()}
    sha256 = _content_hash(tensors)
    header = {"format": FORMAT, "architecture": architecture, "config": config, **content, "sha256": sha256}
    try:
        with written_whole(path) as unfinished:
            save_file(tensors, unfinished, {METADATA: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error
    return sha256


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    tensor = tensor.detach().cpu()
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def _filled(make: Callable[[], Module], path: Path, sha256: str, device: str) -> tuple[Module, Future[None]]:
    """A module made without memory, with the tensors of a file, and whether their hash is `sha256`."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, the file is no mapping
    aside = ThreadPoolExecutor(1, "geofcs-hash")
    checked = aside.submit(_check_content, path, tensors, sha256)
    aside.shutdown(wait=False)
    module = make()
    wanted = module.state_dict()
    if _shapes(wanted) != _shapes(tensors):
        checked.result()  # what is damaged is told first
        check_tensors(path, _shapes(wanted), _shapes(tensors))
    filled = {name: tensor.to(device).to(wanted[name].dtype) for name, tensor in tensors.items()}
    module.load_state_dict(filled, assign=True)
    return module.to(device), checked


def _check_content(path: Path, tensors: Mapping[str, Tensor], sha256: str) -> None:
    if _content_hash(tensors) != sha256:
        raise InputError(f"{path}: is damaged: its tensors are not those it was written with; copy it again")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, open for reading; whatever is wrong with it becomes an `InputError`."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder: name the .safetensors file in it")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): check its permissions") from error
    except SafetensorError as error:
        raise InputError(
            f"{path}: is not a safetensors file, or is cut short ({error}): copy it again; published .pth files are "
            "converted by geofcs weights import"
        ) from error


def _info(path: Path, metadata: Mapping[str, str]) -> WeightsInfo | EncoderInfo:
    if METADATA not in metadata:
        raise InputError(
            f"{path}: is a safetensors file, but not one that geofcs wrote: name one of geofcs train or geofcs weights "
            "import"
        )
    try:
        header = json.loads(metadata[METADATA])
        if header["format"] > FORMAT:
            raise InputError(f"{path}: was written by a newer geofcs (format {header['format']}): update geofcs")
        if header["architecture"] not in READERS:
            known = ", ".join(READERS)
            raise InputError(f"{path}: holds weights of another architecture, {header['architecture']}; known: {known}")
        return READERS[header["architecture"]](header)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its description cannot be understood ({error!r}): copy it again, or make it anew"
        ) from error


def _weights_info(header: dict[str, Any]) -> WeightsInfo:
    covers = header["classes"]["land_covers"]
    classes = ClassScheme(
        header["classes"]["name"], tuple(LandCover(cover["name"], tuple(cover["colour"])) for cover in covers)
    )
    config = ARCHITECTURES[header["architecture"]].config(header["config"])
    if classes.count != config.classes:
        raise ValueError(f"{classes.count} classes are named, the model has {config.classes}")
    return WeightsInfo(config, classes, int(header["tile"]), header["trained"], header["sha256"])


def _encoder_info(header: dict[str, Any]) -> EncoderInfo:
    config = ENCODER_KINDS[header["architecture"]].config(header["config"])
    return EncoderInfo(config, header["trained"], header["sha256"])


READERS: dict[str, Callable[[dict[str, Any]], WeightsInfo | EncoderInfo]] = {
    **dict.fromkeys(ARCHITECTURES, _weights_info),
    **dict.fromkeys(ENCODER_KINDS, _encoder_info),
}
"""How the description of each architecture is read."""
