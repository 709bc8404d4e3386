"""Fused pointwise operations on CPUs: `geofcs.model.inference.pointwise` by the CPU library, function by function."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from geofcs_kernels import cpu

MAPS = 3
IMAGE_CHANNELS = 8
"""Channels of a normalised image."""
POOLED = 256
"""Positions that the library sums before it adds up the sums."""
OPERATIONS = (
    *("layer_norm", "layer_norm_gelu", "add_to_channels", "depthwise", "depthwise_silu", "pools", "weigh", "gate"),
    *("gated_relu_add", "gated_add", "guided_add", "weighed_add_relu", "normalise", "enlarge_logits", "gelu"),
    "layer_norm_of_sum",
)
"""As `csrc/cpu/pointwise.h` numbers them."""


class Pointwise(ctypes.Structure):
    """`Pointwise` of `csrc/cpu/pointwise.h`, field by field."""

    _fields_ = (
        ("x", ctypes.c_void_p * MAPS),
        *((name, ctypes.c_void_p) for name in ("coarse", "weight", "bias", "offset", "gates", "y", "statistics")),
        ("widths", ctypes.c_int64 * MAPS),
        *((name, ctypes.c_int64) for name in ("type", "batch", "height", "width", "channels")),
        *((name, ctypes.c_int64) for name in ("coarse_height", "coarse_width", "size", "threads")),
    )


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """Layer norm over the channels of x + offset."""
    return _run("layer_norm", [x], torch.empty_like(x), weight=weight, bias=bias, offset=offset)


def layer_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """GELU of the same."""
    return _run("layer_norm_gelu", [x], torch.empty_like(x), weight=weight, bias=bias, offset=offset)


def layer_norm_of_sum(total: Tensor, x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """Adds x to `total`, float32 and contiguous, in place; layer norm over channels of that + offset, in x's dtype."""
    given = {"weight": weight, "bias": bias, "offset": offset}
    return _run("layer_norm_of_sum", [x], torch.empty_like(x), statistics=total, **given)


def add_to_channels(x: Tensor, offset: Tensor) -> Tensor:
    """x with `offset` added in place."""
    return _run("add_to_channels", [x], x, offset=offset)


def gelu_(x: Tensor) -> Tensor:
    """GELU (erf) of a map, in place."""
    return _run("gelu", [x], x)


def depthwise_silu(x: Tensor, weight: Tensor) -> Tensor:
    """SiLU of a depthwise 3x3 or 5x5 convolution."""
    return _run("depthwise_silu", [x], torch.empty_like(x), weight=weight, size=weight.shape[0])


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A depthwise 3x3 or 5x5 convolution."""
    return _run("depthwise", [x], torch.empty_like(x), weight=weight, bias=bias, size=weight.shape[0])


def pools(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and maximum over positions; sums have a fixed order."""
    batch, height, width = maps[0].shape[:3]
    channels = sum(m.shape[-1] for m in maps)
    partial = maps[0].new_empty(batch, -(-height * width // POOLED), 2, channels, dtype=torch.float32)
    y = maps[0].new_empty(2, batch, channels, dtype=torch.float32)
    mean, largest = _run("pools", maps, y, statistics=partial, channels=channels)
    return mean, largest


def weigh(maps: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Maps side by side times weights, and mean and maximum over channels."""
    channels = sum(m.shape[-1] for m in maps)
    weighed = maps[0].new_empty(*maps[0].shape[:3], channels)
    statistics = maps[0].new_empty(*maps[0].shape[:3], 2, dtype=torch.float32)
    return _run("weigh", maps, weighed, weight=weights, statistics=statistics, channels=channels), statistics


def gate(statistics: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sigmoid of a convolution of two maps into one."""
    gates = statistics.new_empty(statistics.shape[:3])
    size = weight.shape[0]
    return _run("gate", [statistics], gates, weight=weight, bias=bias, statistics=statistics, size=size)


def gated_relu_add(x: Tensor, gates: Tensor, bias: Tensor, shortcut: Tensor) -> Tensor:
    """relu(x gates + bias) + shortcut."""
    return _run("gated_relu_add", [x, shortcut], torch.empty_like(x), gates=gates, bias=bias)


def gated_add(x: Tensor, gates: Tensor, coarse: Tensor | None) -> Tensor:
    """x gates + coarse, enlarged."""
    return _run("gated_add", [x], torch.empty_like(x), gates=gates, coarse=coarse)


def guided_add(x: Tensor, guide: Tensor | None, coarse: Tensor | None) -> Tensor:
    """x sigmoid(guide) + coarse, enlarged."""
    return _run("guided_add", [x] if guide is None else [x, guide], torch.empty_like(x), coarse=coarse)


def weighed_add_relu(x: Tensor, branch: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """relu(x + (branch + bias) weights)."""
    return _run("weighed_add_relu", [x, branch], torch.empty_like(x), weight=weights, bias=bias)


def enlarge_logits(x: Tensor, classes: int, height: int, width: int) -> Tensor:
    """The first channels of (b, h, w, c) as (b, classes, height, width)."""
    logits = x.new_empty(x.shape[0], classes, height, width)
    sizes = {"channels": classes, "height": height, "width": width}
    return _run("enlarge_logits", [x], logits, coarse=x, **sizes)


def normalise(t1: Tensor, t2: Tensor, mean: Tensor, deviation: Tensor, dtype: torch.dtype) -> Tensor:
    """(x - mean) / deviation of both dates, channels last."""
    batch, _, height, width = t1.shape
    images = t1.new_empty(2 * batch, height, width, IMAGE_CHANNELS, dtype=dtype)
    sizes = {"batch": batch, "height": height, "width": width, "channels": IMAGE_CHANNELS}
    return _run("normalise", [t1, t2], images, weight=mean, bias=deviation, type=cpu.NUMBER_TYPES[dtype], **sizes)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(layer_norm, layer_norm_gelu, layer_norm_of_sum, add_to_channels, gelu_, depthwise_silu, pools, weigh, gate),
        *(gated_relu_add, gated_add, guided_add, weighed_add_relu, enlarge_logits, normalise),
    )
}
"""By the names that they have in geofcs; torch's own `depthwise` of 5x5 is as fast."""


def _run(operation: str, maps: Sequence[Tensor], y: Tensor, **given: Tensor | int | None) -> Tensor:
    """Call the library with maps (b, h, w, c_i), an output, and tensors and sizes by the names of their fields."""
    if y.numel() == 0:
        return y
    kept = [t.contiguous() for t in maps]
    tensors = {name: t.contiguous() for name, t in given.items() if isinstance(t, Tensor)}
    first, sizes = kept[0], {name: n for name, n in given.items() if isinstance(n, int)}
    batch, height, width = first.shape[:3]
    fields = {
        **{"batch": batch, "height": height, "width": width, "channels": first.shape[-1]},
        **{"type": cpu.NUMBER_TYPES[first.dtype], "threads": torch.get_num_threads(), "y": y.data_ptr()},
        **{name: t.data_ptr() for name, t in tensors.items()},
    }
    if "coarse" in tensors:
        fields["coarse_height"], fields["coarse_width"] = tensors["coarse"].shape[1:3]
    parameters = Pointwise(**(fields | sizes))
    for i, each in enumerate(kept):
        parameters.x[i], parameters.widths[i] = each.data_ptr(), each.shape[-1]
    cpu.loaded().geofcs_pointwise(ctypes.c_int64(OPERATIONS.index(operation)), ctypes.byref(parameters))
    return y
