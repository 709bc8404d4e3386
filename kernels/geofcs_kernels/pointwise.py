"""Fused pointwise operations on NVIDIA GPUs: `geofcs.model.inference.pointwise` by kernels, function by function."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from geofcs_kernels import images
from geofcs_kernels.driver import Module, attach

MAPS = 3
SUFFIXES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
THREADS = 256
WIDE = 8
"""Channels that a thread takes at once where their number allows."""
NARROW_WIDTH = {8: 4, 1: 1}
"""Channels that a thread of a depthwise convolution takes at once, where others take 8 or 1."""
COLUMNS = 2
"""Columns that a thread of a depthwise convolution walks down."""
LEAST_RUNS = 2**17
"""Threads that a depthwise convolution wants before it walks further down."""
MOST_KEPT = 8
"""Vectors of a position that a lane of a layer norm keeps at most."""
GRADIENT_CHUNKS = 256
"""Partial sums over positions that gradients of weights are added up from."""
POOL_CHUNKS = 32
"""Blocks that share the positions of a map when it is pooled."""


class PointwiseParams(ctypes.Structure):
    """`geofcs::PointwiseParams` of `csrc/cuda/pointwise.cuh`, field by field."""

    _fields_ = (
        ("x", ctypes.c_void_p * MAPS),
        *((name, ctypes.c_void_p) for name in ("coarse", "weight", "bias", "offset", "gates", "y", "statistics")),
        ("positions", ctypes.c_int64),
        *((name, ctypes.c_int) for name in ("batch", "height", "width", "channels")),
        ("widths", ctypes.c_int * MAPS),
        *((name, ctypes.c_int) for name in ("coarse_height", "coarse_width", "coarse_channels", "lanes", "rows")),
        ("scale", ctypes.c_float),
    )


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """Layer norm over the channels of x + offset."""
    return _layer_norm("layer_norm", x, weight, bias, offset, x.dtype)


def layer_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """GELU of the same."""
    return _layer_norm("layer_norm_gelu", x, weight, bias, offset, x.dtype)


def add_to_channels(x: Tensor, offset: Tensor) -> Tensor:
    """x with `offset` added in place."""
    parameters = _parameters(x, [x])
    parameters.offset = offset.data_ptr()
    return _elementwise("add_to_channels", x, parameters, x)


def depthwise_silu(x: Tensor, weight: Tensor) -> Tensor:
    """SiLU of a depthwise 3x3 convolution."""
    return _depthwise("depthwise3_silu", x, weight, None)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A depthwise 5x5 convolution."""
    return _depthwise("depthwise5", x, weight, bias)


def pools(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and maximum over positions, by partial sums in fixed order."""
    first = maps[0]
    width = _width(*(m.shape[-1] for m in maps))
    parameters = _parameters(first, maps)
    parameters.channels = channels = sum(m.shape[-1] for m in maps)
    batch, height, columns = first.shape[:3]
    parameters.rows = rows = max(1, -(-height * columns // POOL_CHUNKS))
    chunks = -(-height * columns // rows)
    partial = first.new_empty(batch, chunks, 2, channels, dtype=torch.float32)
    result = first.new_empty(2, batch, channels, dtype=torch.float32)
    parameters.statistics = partial.data_ptr()
    across = min(64, _power_of_two(max(m.shape[-1] for m in maps) // width))
    kernel = f"pool_chunks_{width}_{SUFFIXES[first.dtype]}"
    _launch(kernel, first, parameters, (chunks, batch, len(maps)), (across, THREADS // across, 1))
    parameters.rows, parameters.y = chunks, result.data_ptr()
    _launch("pool_rest", first, parameters, (_blocks(batch * channels), 1, 1))
    return result[0], result[1]


def weigh(maps: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Maps side by side times weights, and mean and maximum over channels."""
    first = maps[0]
    width = _width(*(m.shape[-1] for m in maps))
    parameters = _parameters(first, maps)
    parameters.channels = channels = sum(m.shape[-1] for m in maps)
    weighed, statistics = (
        first.new_empty(*first.shape[:3], channels),
        first.new_empty(*first.shape[:3], 2, dtype=torch.float32),
    )
    parameters.weight, parameters.y, parameters.statistics = (t.data_ptr() for t in (weights, weighed, statistics))
    parameters.lanes = lanes = _lanes(first.shape[-1], width)
    blocks = _blocks(parameters.positions * lanes)
    _launch(f"weigh_{width}_{SUFFIXES[first.dtype]}", first, parameters, (blocks, 1, 1))
    return weighed, statistics


def gate(statistics: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sigmoid of a convolution of two maps into one."""
    parameters = _parameters(statistics, [])
    gates = statistics.new_empty(statistics.shape[:3])
    parameters.statistics, parameters.weight, parameters.bias, parameters.y = (
        t.data_ptr() for t in (statistics, weight, bias, gates)
    )
    parameters.rows = weight.shape[0]
    _launch("gate", statistics, parameters, (_blocks(gates.numel()), 1, 1))
    return gates


def gated_relu_add(x: Tensor, gates: Tensor, bias: Tensor, shortcut: Tensor) -> Tensor:
    """relu(x gates + bias) + shortcut."""
    parameters = _parameters(x, [x, shortcut])
    parameters.gates, parameters.bias = gates.data_ptr(), bias.data_ptr()
    return _elementwise("gated_relu_add", x, parameters)


def gated_add(x: Tensor, gates: Tensor, coarse: Tensor | None) -> Tensor:
    """x gates + coarse, enlarged."""
    parameters = _parameters(x, [x], coarse)
    parameters.gates = gates.data_ptr()
    return _elementwise("add_enlarged", x, parameters)


def guided_add(x: Tensor, guide: Tensor | None, coarse: Tensor | None) -> Tensor:
    """x sigmoid(guide) + coarse, enlarged."""
    return _elementwise("add_enlarged", x, _parameters(x, [x] if guide is None else [x, guide], coarse))


def weighed_add_relu(x: Tensor, branch: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """relu(x + (branch + bias) weights)."""
    parameters = _parameters(x, [x, branch])
    parameters.weight, parameters.bias = weights.data_ptr(), bias.data_ptr()
    return _elementwise("weighed_add_relu", x, parameters)


def to_planes(x: Tensor) -> Tensor:
    """(b, h, w, c) -> (b, c, h, w), float32."""
    batch, height, width, channels = x.shape
    planes = x.new_empty(batch, channels, height, width, dtype=torch.float32)
    _transpose("to_planes", x.dtype, x, planes, height * width, channels)
    return planes


def log_amplitudes(spectrum: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """log(1 + scale |spectrum|), channels last."""
    batch, channels, height, width = spectrum.shape
    maps = spectrum.new_empty(batch, height, width, channels, dtype=dtype)
    _transpose("log_amplitudes", dtype, spectrum.contiguous(), maps, height * width, channels, scale)
    return maps


def join_dates(both: Tensor, amplitudes: Tensor | None) -> Tensor:
    """Two dates' maps, their amplitudes and their difference side by side."""
    pairs, height, width, channels = both.shape[0] // 2, *both.shape[1:]
    parameters = _parameters(both[:pairs], [both] if amplitudes is None else [both, amplitudes])
    parameters.coarse_width = width // 2 + 1
    joined = both.new_empty(pairs, height, width, (3 if amplitudes is None else 5) * channels)
    return _elementwise("join_dates", both[:pairs], parameters, joined)


def enlarge_logits(x: Tensor, classes: int, height: int, width: int) -> Tensor:
    """The first channels of (b, h, w, c) as (b, classes, height, width)."""
    logits = x.new_empty(x.shape[0], classes, height, width)
    parameters = _parameters(x, [], x)
    parameters.channels, parameters.positions = classes, x.shape[0] * height * width
    parameters.height, parameters.width = height, width
    parameters.y = logits.data_ptr()
    _launch("enlarge_logits", x, parameters, (_blocks(parameters.positions), 1, 1))
    return logits


def normalise(t1: Tensor, t2: Tensor, mean: Tensor, deviation: Tensor, dtype: torch.dtype) -> Tensor:
    """(x - mean) / deviation of both dates, channels last."""
    dates = [t1.contiguous(), t2.contiguous()]
    batch, _, height, width = t1.shape
    images_ = t1.new_empty(2 * batch, height, width, WIDE, dtype=dtype)
    parameters = _parameters(images_[:batch], dates)
    mean, deviation = mean.contiguous(), deviation.contiguous()
    parameters.weight, parameters.bias, parameters.y = (t.data_ptr() for t in (mean, deviation, images_))
    _launch(f"normalise_{SUFFIXES[dtype]}", images_, parameters, (_blocks(2 * parameters.positions), 1, 1))
    return images_


FUNCTIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(layer_norm, layer_norm_gelu, add_to_channels, depthwise_silu, depthwise, pools, weigh, gate),
        *(gated_relu_add, gated_add, guided_add, weighed_add_relu),
        *(to_planes, log_amplitudes, join_dates, enlarge_logits, normalise),
    )
}
"""By the names that they have in geofcs."""


def layer_norm_to(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Layer norm over the last axis of x, which is of `dtype` or float32, in `dtype`."""
    return _layer_norm("layer_norm", x, weight, bias, None, dtype)


def layer_norm_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias for `grad` of `layer_norm_to`'s result, in its dtype."""
    parameters, suffix, kept = _norm_parameters(x, grad.dtype)
    parameters.x[1], parameters.weight = grad.data_ptr(), weight.data_ptr()
    of_x = torch.empty_like(x)
    statistics = x.new_empty(parameters.positions, 2, dtype=torch.float32)
    parameters.y, parameters.statistics = of_x.data_ptr(), statistics.data_ptr()
    mixed = "mixed_" if x.dtype != grad.dtype else ""
    _launch(f"layer_norm_gradient_{mixed}{kept}_{suffix}", x, parameters, (_norm_blocks(parameters, kept), 1, 1))
    vectors = x.shape[-1] // _width(x.shape[-1])
    across = min(32, _power_of_two(vectors))
    parameters.rows = rows = max(THREADS // across, -(-parameters.positions // GRADIENT_CHUNKS))
    chunks = -(-parameters.positions // rows)
    partial = x.new_empty(chunks, 2, x.shape[-1], dtype=torch.float32)
    parameters.gates, parameters.y = statistics.data_ptr(), partial.data_ptr()
    blocks = (chunks, -(-vectors // across), 1)
    _launch(f"channel_gradients_{mixed}{suffix}", x, parameters, blocks, (across, THREADS // across, 1))
    of_weight, of_bias = partial.sum(0)
    return of_x, of_weight, of_bias


def depthwise_silu_backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and weight (3, 3, c) for `grad` of `depthwise_silu`; the convolution is computed again."""
    batch, height, _, channels = x.shape
    before_silu = _depthwise("depthwise3_silu_gradient", x, weight, None, grad)
    of_x = _depthwise("depthwise3_gradient", before_silu, weight.flip(0, 1).contiguous(), None)
    parameters = _parameters(x, [x, before_silu])
    width = _width(channels)
    rows = min(height, max(1, GRADIENT_CHUNKS // batch))
    partial = x.new_empty(batch * rows, *weight.shape, dtype=torch.float32)
    parameters.y = partial.data_ptr()
    blocks = (_blocks(channels // NARROW_WIDTH[width], 128), rows, batch)
    _launch(f"filter_gradient_{width}_{SUFFIXES[x.dtype]}", x, parameters, blocks, (128, 1, 1))
    return of_x, partial.sum(0)


def _layer_norm(
    name: str, x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None, dtype: torch.dtype
) -> Tensor:
    parameters, suffix, kept = _norm_parameters(x, dtype)
    parameters.weight, parameters.bias = weight.data_ptr(), bias.data_ptr()
    parameters.offset = None if offset is None else offset.data_ptr()
    y = torch.empty_like(x, dtype=dtype)
    parameters.y = y.data_ptr()
    mixed = "mixed_" if x.dtype != dtype else ""
    _launch(f"{name}_{mixed}{kept}_{suffix}", x, parameters, (_norm_blocks(parameters, kept), 1, 1))
    return y


def _norm_parameters(x: Tensor, dtype: torch.dtype) -> tuple[PointwiseParams, str, int]:
    """Sizes, the kernels' suffix, and how many vectors a lane keeps."""
    channels = x.shape[-1]
    parameters = _parameters(x.view(1, 1, -1, channels), [x])
    width = _width(channels)
    parameters.lanes = lanes = _lanes(channels, width)
    kept = _power_of_two(-(-channels // (lanes * width)))
    if kept > MOST_KEPT:
        raise ValueError(f"layer norms over {channels} channels are not built")
    return parameters, f"{width}_{SUFFIXES[dtype]}", kept


def _norm_blocks(parameters: PointwiseParams, kept: int) -> int:
    """Blocks of teams that take `NormRows::ROWS` positions each."""
    return _blocks(-(-parameters.positions // max(1, 4 // kept)) * parameters.lanes)


def _depthwise(name: str, x: Tensor, weight: Tensor, bias: Tensor | None, grad: Tensor | None = None) -> Tensor:
    parameters = _parameters(x, [x] if grad is None else [x, grad])
    parameters.weight, parameters.bias = weight.data_ptr(), None if bias is None else bias.data_ptr()
    width = _width(x.shape[-1])
    batch, height, columns, channels = x.shape
    strips = batch * -(-columns // COLUMNS) * -(-channels // NARROW_WIDTH[width])
    parameters.rows = rows = min(height, max(4, height * strips // LEAST_RUNS))
    y = torch.empty_like(x)
    parameters.y = y.data_ptr()
    blocks = _blocks(strips * -(-height // rows), 128)
    _launch(f"{name}_{width}_{SUFFIXES[x.dtype]}", x, parameters, (blocks, 1, 1), (128, 1, 1))
    return y


def _elementwise(name: str, like: Tensor, parameters: PointwiseParams, y: Tensor | None = None) -> Tensor:
    """A kernel that takes some channels of a position per thread."""
    y = torch.empty_like(like) if y is None else y
    parameters.y = y.data_ptr()
    width = _width(like.shape[-1])
    blocks = _blocks(like.numel() // width)
    _launch(f"{name}_{width}_{SUFFIXES[like.dtype]}", like, parameters, (blocks, 1, 1))
    return y


def _transpose(
    name: str, dtype: torch.dtype, x: Tensor, y: Tensor, positions: int, channels: int, scale: float = 1
) -> None:
    parameters = PointwiseParams(y=y.data_ptr(), rows=positions, channels=channels, scale=scale)
    parameters.x[0] = x.data_ptr()
    blocks = (-(-positions // 32), -(-channels // 32), x.shape[0])
    _launch(f"{name}_{SUFFIXES[dtype]}", x, parameters, blocks, (32, 8, 1))


def _parameters(like: Tensor, maps: Sequence[Tensor], coarse: Tensor | None = None) -> PointwiseParams:
    """Sizes of (b, h, w, c), pointers and channels of maps that must be contiguous."""
    batch, height, width, channels = like.shape
    parameters = PointwiseParams(
        positions=batch * height * width, batch=batch, height=height, width=width, channels=channels
    )
    for i, each in enumerate(maps):
        if not each.is_contiguous():
            raise ValueError("pointwise kernels want contiguous maps")
        parameters.x[i], parameters.widths[i] = each.data_ptr(), each.shape[-1]
    if coarse is not None:
        parameters.coarse, parameters.coarse_channels = coarse.data_ptr(), coarse.shape[3]
        parameters.coarse_height, parameters.coarse_width = coarse.shape[1:3]
    return parameters


def _width(*channels: int) -> int:
    return WIDE if all(n % WIDE == 0 for n in channels) else 1


def _lanes(channels: int, width: int) -> int:
    """Threads that share a position."""
    return min(32, _power_of_two(-(-channels // width)))


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _blocks(threads: int, per_block: int = THREADS) -> int:
    return -(-threads // per_block)


def _launch(
    kernel: str,
    like: Tensor,
    parameters: PointwiseParams,
    blocks: tuple[int, int, int],
    threads: tuple[int, int, int] = (THREADS, 1, 1),
) -> None:
    device = like.device
    if 0 in blocks:
        return
    with torch.cuda.device(device):
        attach(device.index)
        _module(device.index, images.unit_of(_variant(kernel))).launch(
            kernel,
            parameters,
            blocks=blocks,
            threads=threads,
            shared_bytes=0,
            stream=torch.cuda.current_stream(device).cuda_stream,
        )


@functools.cache
def _variant(kernel: str) -> str:
    """The compilation that a kernel is in: for training or not, and by its type, if it has one."""
    dtype = kernel.rpartition("_")[2]
    source = "gradients" if any(word in kernel for word in ("gradient", "mixed")) else "pointwise"
    return f"{source}_{dtype if dtype in SUFFIXES.values() else 'any'}"


@functools.cache
def _module(device: int, unit: str) -> Module:
    with torch.cuda.device(device):
        return Module(images.image_for(torch.cuda.get_device_capability(device), unit))
