"""What decides a model's shape, as frozen values, checked when made; named ones stand in `sizes.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from geofcs.errors import InputError

Colour = tuple[float, float, float]

LEVELS = 4
"""Stages of the encoder, and levels of the decoders."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of an image's bands, RGB 0-255: the model sees (x - mean) / std."""

    mean: Colour
    std: Colour


IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

STATISTICS = {
    "imagenet": (IMAGENET, IMAGENET),
    "second": (
        Normalisation((113.40, 114.08, 116.45), (48.30, 46.27, 48.14)),
        Normalisation((111.07, 114.04, 118.18), (49.41, 47.01, 47.94)),
    ),
    "landsat": (
        Normalisation((141.53, 139.20, 137.73), (81.99, 83.31, 83.89)),
        Normalisation((137.36, 136.50, 135.144), (85.97, 86.01, 86.81)),
    ),
}
"""Of both dates' images, by the name of what they were measured on; the datasets' by the authors of SCanNet."""


@dataclass(frozen=True)
class EncoderConfig:
    """A VMamba encoder: `width` channels C at stride 4, doubling from stage to stage; `depths` blocks per stage.

    `ratio` is the width of a scan over the width of its block, `mlp_ratio` the same of the MLP's hidden layer;
    `drop_path` the stochastic depth of the last block, to which it rises linearly from 0.
    """

    kind: ClassVar[str] = "vmamba-encoder"

    width: int
    depths: tuple[int, int, int, int]
    ratio: float = 2.0
    mlp_ratio: float = 4.0
    drop_path: float = 0.2

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise InputError(f"an encoder of width {self.width} cannot be built: the width is an even number")
        if len(self.depths) != LEVELS or min(self.depths) < 1:
            raise InputError(f"an encoder has {LEVELS} stages of one block at least, not depths {self.depths}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four feature maps, shallowest first: C, 2C, 4C, 8C at strides 4, 8, 16, 32."""
        return tuple(self.width * 2**level for level in range(LEVELS))

    @property
    def said(self) -> str:
        """A line on it for people."""
        depths = ", ".join(map(str, self.depths))
        return f"VMamba, width {self.width}, depths {depths}, ratio {self.ratio:g}"


@dataclass(frozen=True)
class BlockConfig:
    """A VSS block of `width` channels: scans over `scan_width` channels, an MLP of `hidden` ones."""

    width: int
    scan_width: int
    hidden: int
    drop_path: float

    @staticmethod
    def within(encoder: EncoderConfig, width: int, drop_path: float) -> BlockConfig:
        """A block with the encoder's ratios."""
        return BlockConfig(width, int(encoder.ratio * width), int(encoder.mlp_ratio * width), drop_path)

    @property
    def rank(self) -> int:
        """R, the rank of the step sizes' projection: a sixteenth of the block's width, rounded up."""
        return math.ceil(self.width / 16)


@dataclass(frozen=True)
class MambaFCSConfig:
    """A Mamba-FCS for `classes` classes, "no change" counted (K; 1 makes the binary model).

    `change_guided_attention` and `fft` are False in the ablations of the paper that leave them out.
    """

    architecture: ClassVar[str] = "mamba-fcs"

    encoder: EncoderConfig
    classes: int
    decoder_drop_path: float = 0.1
    change_guided_attention: bool = True
    fft: bool = True
    normalisation: tuple[Normalisation, Normalisation] = (IMAGENET, IMAGENET)

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise InputError(f"a model cannot tell {self.classes} classes apart")

    @property
    def is_binary(self) -> bool:
        """Whether the model only says changed or not."""
        return self.classes == 1


@dataclass(frozen=True)
class ChangeMambaConfig:
    """A ChangeMamba for `classes` classes, "no change" counted (K; 1 makes a binary model).

    All maps of the decoders have `decoder_width` channels, whatever the encoder's.
    """

    architecture: ClassVar[str] = "changemamba"

    encoder: EncoderConfig
    classes: int
    decoder_width: int = 128
    decoder_drop_path: float = 0.1
    normalisation: tuple[Normalisation, Normalisation] = (IMAGENET, IMAGENET)

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise InputError(f"a model cannot tell {self.classes} classes apart")
        if self.decoder_width < 1:
            raise InputError(f"decoders of width {self.decoder_width} cannot be built")

    @property
    def is_binary(self) -> bool:
        """Whether the model only says changed or not."""
        return self.classes == 1

    @property
    def block(self) -> BlockConfig:
        """The VSS blocks of the decoders."""
        return BlockConfig.within(self.encoder, self.decoder_width, self.decoder_drop_path)


@dataclass(frozen=True)
class ResNetConfig:
    """A ResNet of basic blocks (ResNet-34 as it stands): `width` channels, doubling from layer to layer."""

    kind: ClassVar[str] = "resnet-encoder"

    width: int = 64
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)

    def __post_init__(self) -> None:
        if self.width < 1 or len(self.depths) != LEVELS or min(self.depths) < 1:
            raise InputError(
                f"a ResNet has {LEVELS} layers of one block at least, not width {self.width} and depths {self.depths}"
            )

    @property
    def said(self) -> str:
        """A line on it for people."""
        return f"ResNet, width {self.width}, depths {', '.join(map(str, self.depths))}"


@dataclass(frozen=True)
class SCanNetConfig:
    """A SCanNet for `classes` classes, "no change" counted (K), on ResNet-34, as published, or a smaller one.

    Every width is a multiple of the encoder's: decoders are twice as wide, the transformer six times. `compare_depth`
    is how many residual blocks compare the dates; the transformer has `depth` CSWin blocks of `heads` heads.
    """

    architecture: ClassVar[str] = "scannet"

    encoder: ResNetConfig
    classes: int
    compare_depth: int = 6
    depth: int = 2
    heads: int = 4
    normalisation: tuple[Normalisation, Normalisation] = (IMAGENET, IMAGENET)

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError("SCanNet has no binary variant: it needs classes of land cover; take another model")
        if min(self.compare_depth, self.depth) < 1:
            raise InputError("a SCanNet compares the dates with one block at least, and has one CSWin block at least")
        if self.heads < 2 or self.heads % 2 or self.token_width % self.heads:
            raise InputError(
                f"a SCanNet of width {self.encoder.width} cannot have {self.heads} heads: they are an even number of "
                f"equal parts of its transformer's {self.token_width} channels"
            )

    @property
    def is_binary(self) -> bool:
        """Never: there is no such variant."""
        return False

    @property
    def token_width(self) -> int:
        """Channels of the transformer: those of three decoders."""
        return 6 * self.encoder.width


ChangeConfig = MambaFCSConfig | ChangeMambaConfig | SCanNetConfig
"""The config of any change model."""

AnyEncoderConfig = EncoderConfig | ResNetConfig
"""The config of any encoder."""


def mamba_fcs_config(content: dict[str, Any]) -> MambaFCSConfig:
    """The config that `dataclasses.asdict` turned into `content`; raises KeyError or TypeError for anything else."""
    return MambaFCSConfig(**_with_values(content))


def changemamba_config(content: dict[str, Any]) -> ChangeMambaConfig:
    """The same for ChangeMamba."""
    return ChangeMambaConfig(**_with_values(content))


def _with_values(content: dict[str, Any]) -> dict[str, Any]:
    """Encoder and normalisation as what they are instead of as JSON has them."""
    return {**content, "encoder": encoder_config(content["encoder"]), "normalisation": normalisations(content)}


def normalisations(content: dict[str, Any]) -> tuple[Normalisation, Normalisation]:
    """Both dates' of a config's content."""
    first, second = (Normalisation(tuple(date["mean"]), tuple(date["std"])) for date in content["normalisation"])
    return first, second


def encoder_config(content: dict[str, Any]) -> EncoderConfig:
    """The same for an encoder."""
    return EncoderConfig(**{**content, "depths": tuple(content["depths"])})


def scannet_config(content: dict[str, Any]) -> SCanNetConfig:
    """The config that `dataclasses.asdict` turned into `content`; raises KeyError or TypeError for anything else."""
    encoder, normalisation = resnet_config(content["encoder"]), normalisations(content)
    return SCanNetConfig(**{**content, "encoder": encoder, "normalisation": normalisation})


def resnet_config(content: dict[str, Any]) -> ResNetConfig:
    """The same for a ResNet."""
    return ResNetConfig(**{**content, "depths": tuple(content["depths"])})
