"""How much memory a call of a model takes beside its weights, fitted to peaks measured on a CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from geofcs.model.config import ChangeConfig, ChangeMambaConfig, MambaFCSConfig, SCanNetConfig

FIXED_BYTES = 20_000_000
FLOATS_PER_CLASS = 32


def activation_bytes(config: ChangeConfig, tile: int, batch: int) -> int:
    """Memory in bytes that scoring `batch` pairs of float32 tiles takes beside the weights, within about 30 %.

    What does not grow, and per position of the stride-4 map so many floats as `ACTIVATIONS` says. Mamba-FCS has 36 per
    channel (features of both dates, guides, an MLP's hidden layer, the convolutions' scratch) and 32 per class (logits
    and scores of 16 pixels). Peaks of resident memory as measured, and the formula's, in MB: `pico` at 512 pixels 90 to
    111 (91), two of them 135 to 172 (163), at 768 182 to 208 (180), width 48 at 512 137 (148), Tiny at 512 257 (261),
    Base at 512 294 (337). ChangeMamba has 35 per channel of its decoders, whose maps are of both dates: two of `pico`
    at 512 155 to 241 (196), one at 768 271 to 328 (218), Tiny and Base at 512 270 to 361 (328). SCanNet has 105 per
    channel of its encoder: `small` at 512 133 (145), two of them 303 (270), at 768 333 (301), `resnet34` at 384 277
    (273).
    """
    positions = batch * math.ceil(tile / 4) ** 2
    floats = ACTIVATIONS[config.architecture](config) + FLOATS_PER_CLASS * config.classes
    return FIXED_BYTES + 4 * positions * floats


ACTIVATIONS: dict[str, Callable[[Any], int]] = {
    MambaFCSConfig.architecture: lambda config: 36 * config.encoder.width,
    ChangeMambaConfig.architecture: lambda config: 35 * config.decoder_width,
    SCanNetConfig.architecture: lambda config: 105 * config.encoder.width,
}
"""About how many floats a call holds at its peak, per position of the stride-4 map and whatever the classes."""
