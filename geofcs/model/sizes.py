"""The models that have a name: the published ones, and our own small ones for CPUs."""

from __future__ import annotations

from dataclasses import replace

from geofcs.errors import InputError
from geofcs.model.config import ChangeMambaConfig, EncoderConfig, MambaFCSConfig, ResNetConfig, SCanNetConfig

ENCODERS = {
    "tiny": EncoderConfig(96, (2, 2, 5, 2), 2.0, drop_path=0.2),
    "tiny-s1l8": EncoderConfig(96, (2, 2, 8, 2), 1.0, drop_path=0.2),
    "small": EncoderConfig(96, (2, 2, 15, 2), 2.0, drop_path=0.3),
    "small-s1l20": EncoderConfig(96, (2, 2, 20, 2), 1.0, drop_path=0.3),
    "base": EncoderConfig(128, (2, 2, 15, 2), 2.0, drop_path=0.6),
    "base-s1l20": EncoderConfig(128, (2, 2, 20, 2), 1.0, drop_path=0.6),
}
"""The published VMamba encoders; those without a suffix are T[s2l5], S[s2l15] and B[s2l15], which Mamba-FCS uses."""


PICO = "pico"
"""The size of a model that is ours."""


def mamba_fcs(size: str, classes: int) -> MambaFCSConfig:
    """Mamba-FCS on a published encoder, by its name in `ENCODERS`, or our `pico`."""
    if size == PICO:
        return pico(classes)
    if size not in ENCODERS:
        raise InputError(f"no size of Mamba-FCS is called {size!r}; known: {PICO}, {', '.join(ENCODERS)}")
    return MambaFCSConfig(ENCODERS[size], classes)


PICO_WIDTH = 24
PICO_DEPTHS = (3, 5, 7, 1)


def pico(
    classes: int, width: int = PICO_WIDTH, depths: tuple[int, int, int, int] = PICO_DEPTHS, ratio: float = 2.0
) -> MambaFCSConfig:
    """Our own small Mamba-FCS for CPUs, of any width.

    As it stands 11.8 MB of float16 weights and 17.9 GFLOP for a pair of 512 x 512 pixels (7 classes; convolutions and
    matrix products, as `torch.utils.flop_counter` counts them in tests/model/test_config.py). One deep block fewer and
    a few shallow ones more than the published shapes: weights lie in the deep stages, detail in the shallow ones.
    """
    return MambaFCSConfig(EncoderConfig(width, depths, ratio, drop_path=0.1), classes)


CHANGEMAMBAS = {
    PICO: ChangeMambaConfig(EncoderConfig(PICO_WIDTH, PICO_DEPTHS, drop_path=0.1), 1, decoder_width=32),
    "tiny": ChangeMambaConfig(EncoderConfig(96, (2, 2, 4, 2), drop_path=0.2), 1),
    "small": ChangeMambaConfig(ENCODERS["small"], 1),
    "base": ChangeMambaConfig(ENCODERS["base"], 1),
}
"""ChangeMamba by size, of no classes yet: our own for CPUs, and the published ones, whose T has its own encoder."""


def changemamba(size: str, classes: int) -> ChangeMambaConfig:
    """ChangeMamba of a size in `CHANGEMAMBAS`."""
    if size not in CHANGEMAMBAS:
        raise InputError(f"no size of ChangeMamba is called {size!r}; known: {', '.join(CHANGEMAMBAS)}")
    return replace(CHANGEMAMBAS[size], classes=classes)


SCANNET_SIZES = {"resnet34": ResNetConfig(), "small": ResNetConfig(16, (2, 2, 2, 2))}
"""Encoders of SCanNet by name: the published one, and ours, for CPUs."""


def scannet(size: str, classes: int) -> SCanNetConfig:
    """SCanNet on a ResNet of a size in `SCANNET_SIZES`."""
    if size not in SCANNET_SIZES:
        raise InputError(f"no size of SCanNet is called {size!r}; known: {', '.join(SCANNET_SIZES)}")
    return SCanNetConfig(SCANNET_SIZES[size], classes)
