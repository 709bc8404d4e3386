"""How much memory a call of a model takes beside its weights, fitted to peaks measured on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from geofcs.model.config import ChangeConfig, ChangeMambaConfig, MambaFCSConfig, SCanNetConfig

FIXED_BYTES = 6_000_000
FLOATS_PER_CLASS = 80
HOLES = 1.5
"""What a process's heap takes over what lies in it; on CPUs 1.1 to 2.2 were seen, the most where tiles are small."""


def activation_bytes(config: ChangeConfig, tile: int, batch: int) -> int:
    """Memory in bytes that a process grows by while it scores `batch` pairs of float32 tiles, beside the weights."""
    return int(HOLES * held_bytes(config, tile, batch))


def held_bytes(config: ChangeConfig, tile: int, batch: int) -> int:
    """Memory in bytes that the tensors hold at most while `batch` pairs of float32 tiles are scored, within 10 %.

    The peak lies in the decoder or in the heads. Per position of the stride-4 map the decoder holds so many floats as
    `ACTIVATIONS` says, and the heads 80 per class: the logits of 16 pixels at both dates, their scores, one copy.
    Peaks as measured and the formula's, in MB, with 7 classes and one tile of 512 unless another number stands there.
    Mamba-FCS: `pico` 51 (48), two 94 (91), two with 30 classes 331 (321), with 60 646 (635), one of 768 106 (102), Tiny
    170 (176), Base 224 (232). ChangeMamba: `pico` 64 (69), two 127 (132), one of 768 142 (148), Tiny 250 (258), Base
    259 (258). SCanNet: `small` 126 (121), two 244 (237), two with 60 classes 640 (635), one of 768 275 (266),
    `resnet34` 465 (467), at 384 265 (266). `tests/model/test_config.py` says how to measure.
    """
    positions = batch * math.ceil(tile / 4) ** 2
    floats = max(ACTIVATIONS[config.architecture](config), FLOATS_PER_CLASS * config.classes)
    return FIXED_BYTES + 4 * positions * floats


ACTIVATIONS: dict[str, Callable[[Any], int]] = {
    MambaFCSConfig.architecture: lambda config: 27 * config.encoder.width,
    ChangeMambaConfig.architecture: lambda config: 30 * config.decoder_width,
    SCanNetConfig.architecture: lambda config: 110 * config.encoder.width,
}
"""About how many floats the decoder holds at its peak, per position of the stride-4 map."""
