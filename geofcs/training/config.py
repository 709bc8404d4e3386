"""What a training run is made of, as frozen values: read from YAML, overridden key by key, dumped with the run."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

import geofcs
from geofcs.durable import written_whole
from geofcs.errors import InputError, OutputError, UsageError

Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]
PositiveRange = tuple[PositiveFloat, PositiveFloat]
Depths = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]


class Section(BaseModel):
    """A group of keys; frozen, and strict about which keys there are."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Which pairs are trained on, and how they are read. `classes` None stands for what the folder tells."""

    dataset: str
    folder: Path | None
    classes: str | None
    crop: Annotated[int, Field(ge=32)]
    workers: NonNegativeInt
    published_protocol: bool
    keep_copies: bool


class ModelConfig(Section):
    """Kind, size and parts of the model; None stands for what the size says itself."""

    architecture: Literal["mamba-fcs", "changemamba", "scannet"]
    size: str
    width: PositiveInt | None
    depths: Depths | None
    drop_path: Share | None
    decoder_width: PositiveInt | None
    change_guided_attention: bool
    fft: bool
    statistics: Literal["imagenet", "second", "landsat"]
    weights: Path | None


class TrainConfig(Section):
    """The optimisation. `batch` is how many pairs an iteration sees, over all devices and accumulated steps."""

    seed: NonNegativeInt
    iterations: PositiveInt
    batch: PositiveInt
    accumulate: PositiveInt
    optimiser: Literal["adamw", "sgd"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: NonNegativeFloat
    schedule: Literal["cosine", "polynomial", "halving"]
    warmup: NonNegativeInt
    halve_every: PositiveInt
    power: Annotated[float, Field(gt=0)]
    clip: Annotated[float, Field(gt=0)] | None
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    precision: Literal["auto", "fp32", "bf16"]
    device: str
    devices: PositiveInt


class LossConfig(Section):
    """What each term of `losses.change_loss` counts; the SeK term counts from iteration `sek_from` on.

    Once a validation's F_SCD exceeds `pseudo_from`, the best model so far labels pixels that did not change.
    """

    ce_change: NonNegativeFloat
    ce_cover: NonNegativeFloat
    lovasz_change: NonNegativeFloat
    lovasz_cover: NonNegativeFloat
    similarity: NonNegativeFloat
    sek: NonNegativeFloat
    sek_from: NonNegativeInt
    absent_classes: bool
    bce_change: NonNegativeFloat
    consistency: NonNegativeFloat
    margin: Share
    pseudo_from: Share | None


class AugmentConfig(Section):
    """What is done to a pair before the model sees it: probabilities, and spreads of factors about 1."""

    flip: Share
    rotate: bool
    swap: Share
    brightness: NonNegativeFloat
    contrast: NonNegativeFloat
    saturation: NonNegativeFloat
    sensors: NonNegativeFloat


class WorldsConfig(Section):
    """The made-up worlds of the dataset `synthetic`; no other dataset looks at these keys."""

    pairs: PositiveInt | None
    side: PositiveInt | None
    gsd: PositiveRange
    fine_to: PositiveFloat
    coarse: Share
    change: PositiveRange
    nuisances: Range
    recolour: NonNegativeFloat
    validation_pairs: PositiveInt


class ValidationConfig(Section):
    """When and on what the model is judged while it trains."""

    every: PositiveInt
    pairs: PositiveInt | None
    batch: PositiveInt
    best: Literal["sek", "f_scd"]


class OutputConfig(Section):
    """What is written down on the way."""

    save_every: PositiveInt
    log_every: PositiveInt
    pictures: NonNegativeInt
    tensorboard: bool


class RunConfig(Section):
    """All of it."""

    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    loss: LossConfig
    augment: AugmentConfig
    worlds: WorldsConfig
    validation: ValidationConfig
    output: OutputConfig


USUAL_ARCHITECTURE = "mamba-fcs"
"""Its configs are called as datasets are; those of other architectures begin with the architecture."""


def recipe_file(dataset: str, recipe: str | None, architecture: str | None = None) -> Path:
    """The config that ships for a dataset, a recipe and an architecture.

    `landsat.yaml`, `landsat_published.yaml` for the recipe "published", `changemamba_landsat.yaml` for that model.
    """
    folder, rival = configs_folder(), architecture not in (None, USUAL_ARCHITECTURE)
    path = folder / ("_".join(filter(None, (architecture if rival else None, dataset, recipe))) + ".yaml")
    if not path.exists():
        model = f" --model {architecture}" if architecture else ""
        asked = f"--dataset {dataset}{f' --recipe {recipe}' if recipe else ''}{model}"
        known = ", ".join(sorted(_asked_for(each.stem) for each in folder.glob("*.yaml")))
        raise UsageError(f"there is no config for {asked}; known: {known}")
    return path


def _asked_for(stem: str) -> str:
    """What to type behind --dataset for a config that ships."""
    first, _, rest = stem.partition("_")
    if first in get_args(ModelConfig.model_fields["architecture"].annotation):
        return f"{rest.replace('_', ' --recipe ')} --model {first}"
    return stem.replace("_", " --recipe ")


def configs_folder() -> Path:
    """Where the configs that ship lie: inside the installed package, or beside it in the sources."""
    package = Path(geofcs.__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def read_config(path: Path, settings: Sequence[str] = ()) -> RunConfig:
    """The config that a YAML file holds, with settings such as `train.lr=5e-5` in place of its own.

    Every key has to be there and none beside them. Raises `InputError` naming each key that is wrong, with the key
    that was probably meant.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys")
    return checked_config(with_settings(content, settings), str(path))


def checked_config(content: Mapping[str, Any], source: str) -> RunConfig:
    """The config that nested keys stand for; errors begin with `source`."""
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        said = "; ".join(_said(each["type"], ".".join(map(str, each["loc"])), each["msg"]) for each in error.errors())
        raise InputError(f"{source}: {said}") from error


def with_settings(content: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of nested keys in which each `section.key=value` (value as in YAML) has replaced what was there."""
    changed = {name: dict(section) if isinstance(section, Mapping) else section for name, section in content.items()}
    for setting in settings:
        name, equals, value = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise UsageError(f"--set {setting}: say section.key=value, as in --set train.lr=5e-5")
        if section not in RunConfig.model_fields or not isinstance(changed.setdefault(section, {}), dict):
            raise UsageError(f"--set {setting}: {_unknown(name.strip())}")
        try:
            changed[section][key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {setting}: the value is not YAML: {' '.join(str(error).split())}") from error
    return changed


def write_config(path: Path, config: RunConfig) -> None:
    """Write a config as YAML that `read_config` reads, all at once by rename, in a folder that may be new.

    Raises `OutputError`.
    """
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error


def known_keys() -> list[str]:
    """Every key there is, as section.key."""
    return list(_known_keys())


def _known_keys() -> Iterator[str]:
    for name, field in RunConfig.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        yield from (f"{name}.{key}" for key in section.model_fields)


def _said(kind: str, key: str, message: str) -> str:
    if kind == "extra_forbidden":
        return _unknown(key)
    return f"{key} is missing" if kind == "missing" else f"{key}: {message[0].lower()}{message[1:]}"


def _unknown(key: str) -> str:
    """That there is no such key, and which was probably meant: one of the same last part, else of a similar name.

    Where none is similar, which keys its section has.
    """
    section, _, last = key.rpartition(".")
    meant = [each for each in known_keys() if each.split(".")[-1] == last]
    meant += difflib.get_close_matches(key, known_keys(), 1)
    if not meant and section in RunConfig.model_fields:
        there = [each.split(".")[-1] for each in known_keys() if each.startswith(f"{section}.")]
        return f"there is no key {key}; {section} has {', '.join(there)}"
    meant += difflib.get_close_matches(key.split(".")[0], RunConfig.model_fields, 1)
    return f"there is no key {key}" + (f"; did you mean {meant[0]}?" if meant else "")
