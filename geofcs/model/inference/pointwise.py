"""Fused pointwise operations in plain torch: the definitions that compiled kernels are tested against.

All maps are (b, h, w, c), contiguous, of one dtype T: float32, or bfloat16 and float16 with arithmetic in float32
between reading and writing. `geofcs_kernels.pointwise` has functions of the same names and arguments for CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-5
"""What layer norms add to the variance."""

IMAGE_CHANNELS = 8
"""Channels of a normalised image: red, green, blue and zeros, as 16-byte pixels suit convolutions."""


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """Layer norm over the channels of x + offset; weight, bias and offset are (c), float32."""
    wide = x.float() if offset is None else x.float() + offset
    return F.layer_norm(wide, x.shape[-1:], weight, bias, EPSILON).to(x.dtype)


def layer_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """GELU (erf) of the same."""
    wide = x.float() if offset is None else x.float() + offset
    return F.gelu(F.layer_norm(wide, x.shape[-1:], weight, bias, EPSILON)).to(x.dtype)


def layer_norm_of_sum(total: Tensor, x: Tensor, weight: Tensor, bias: Tensor, offset: Tensor | None = None) -> Tensor:
    """Adds x to `total`, float32, in place; layer norm over the channels of that + offset, in x's dtype."""
    wide = total.add_(x) if offset is None else total.add_(x) + offset
    return F.layer_norm(wide, x.shape[-1:], weight, bias, EPSILON).to(x.dtype)


def add_to_channels(x: Tensor, offset: Tensor) -> Tensor:
    """x with `offset` (c), float32, added in place."""
    return x.copy_(x.float() + offset)


def depthwise_silu(x: Tensor, weight: Tensor) -> Tensor:
    """SiLU of a depthwise convolution without bias; weight (k, k, c), float32, zeros around the map."""
    return F.silu(_depthwise(x, weight, None)).to(x.dtype)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A depthwise convolution; weight (k, k, c), bias (c), float32."""
    return _depthwise(x, weight, bias).to(x.dtype)


def pools(maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and maximum over the positions of maps (b, h, w, c_i), side by side: two (b, sum c_i), float32."""
    return (
        torch.cat([m.mean((1, 2), dtype=torch.float32) for m in maps], -1),
        torch.cat([m.amax((1, 2)).float() for m in maps], -1),
    )


def weigh(maps: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (b, h, w, c_i) side by side times `weights` (b, sum c_i), float32; and mean and maximum over channels.

    Returns (b, h, w, sum c_i) in T and (b, h, w, 2) in float32.
    """
    weighed = torch.cat(list(maps), -1) * weights[:, None, None]
    return weighed.to(maps[0].dtype), torch.stack([weighed.mean(-1), weighed.amax(-1)], -1)


def gate(statistics: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sigmoid of a convolution of `weigh`'s statistics; weight (k, k, 2), bias (1), float32; (b, h, w), float32."""
    convolved = F.conv2d(statistics.permute(0, 3, 1, 2), weight.permute(2, 0, 1)[None], bias, padding="same")
    return torch.sigmoid(convolved[:, 0])


def gated_relu_add(x: Tensor, gates: Tensor, bias: Tensor, shortcut: Tensor) -> Tensor:
    """relu(x gates + bias) + shortcut, which has x's dtype; gates (b, h, w), bias (c), float32."""
    return (F.relu(x.float() * gates[..., None] + bias) + shortcut.float()).to(x.dtype)


def gated_add(x: Tensor, gates: Tensor, coarse: Tensor | None) -> Tensor:
    """x gates + coarse, enlarged to x's size."""
    return _add_enlarged(x.float() * gates[..., None], coarse).to(x.dtype)


def guided_add(x: Tensor, guide: Tensor | None, coarse: Tensor | None) -> Tensor:
    """x sigmoid(guide) + coarse, enlarged to x's size."""
    wide = x.float() if guide is None else x.float() * torch.sigmoid(guide.float())
    return _add_enlarged(wide, coarse).to(x.dtype)


def weighed_add_relu(x: Tensor, branch: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """relu(x + (branch + bias) weights); weights (b, c), bias (c), float32."""
    return F.relu(x.float() + (branch.float() + bias) * weights[:, None, None]).to(x.dtype)


def to_planes(x: Tensor) -> Tensor:
    """(b, h, w, c) -> (b, c, h, w), contiguous, float32: what an FFT reads."""
    return x.permute(0, 3, 1, 2).float().contiguous()


def log_amplitudes(spectrum: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """log(1 + scale |spectrum|) of (b, c, h, w / 2 + 1), complex64: (b, h, w / 2 + 1, c) in `dtype`."""
    return torch.log1p(scale * spectrum.abs()).to(dtype).permute(0, 2, 3, 1).contiguous()


def join_dates(both: Tensor, amplitudes: Tensor | None) -> Tensor:
    """Two dates' maps (2b, h, w, c) as [a, amplitude of a, b, amplitude of b, |a - b|]: (b, h, w, 5c).

    `amplitudes` (2, b, h, w // 2 + 1, c) is half of a real map's spectrum, which the other half mirrors; without it the
    result is [a, b, |a - b|].
    """
    a, b = both.chunk(2)
    difference = (a.float() - b.float()).abs().to(both.dtype)
    if amplitudes is None:
        return torch.cat([a, b, difference], -1)
    of_a, of_b = (_mirrored(half, both.shape[2]) for half in amplitudes)
    return torch.cat([a, of_a, b, of_b, difference], -1)


def enlarge_logits(x: Tensor, classes: int, height: int, width: int) -> Tensor:
    """The first `classes` channels of (b, h, w, c), float32, as (b, classes, height, width), bilinear."""
    return _enlarged(x[..., :classes].permute(0, 3, 1, 2).contiguous(), height, width)


def normalise(t1: Tensor, t2: Tensor, mean: Tensor, deviation: Tensor, dtype: torch.dtype) -> Tensor:
    """(x - mean) / deviation of both dates, each (b, 3, h, w) and float32, by (2, 3); (2b, h, w, 8), zeros last."""
    images = torch.cat(
        [(x - m[:, None, None]) / d[:, None, None] for x, m, d in zip((t1, t2), mean, deviation, strict=True)]
    )
    return F.pad(images.permute(0, 2, 3, 1), (0, IMAGE_CHANNELS - images.shape[1])).to(dtype)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    filters, groups = weight.permute(2, 0, 1)[:, None].to(x.dtype), weight.shape[-1]
    own_bias = None if bias is None else bias.to(x.dtype)
    return F.conv2d(x.permute(0, 3, 1, 2), filters, own_bias, padding="same", groups=groups).permute(0, 2, 3, 1)


def _mirrored(half: Tensor, width: int) -> Tensor:
    """All columns (b, h, width, c) of a spectrum's amplitudes from those up to width // 2: that of -f is that of f."""
    rest = half[:, :, 1 : width - half.shape[2] + 1].flip(2)
    return torch.cat([half, rest.flip(1).roll(1, 1)], 2)


def _add_enlarged(x: Tensor, coarse: Tensor | None) -> Tensor:
    if coarse is None:
        return x
    return x + _enlarged(coarse.permute(0, 3, 1, 2).float(), *x.shape[1:3]).permute(0, 2, 3, 1)


def _enlarged(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
