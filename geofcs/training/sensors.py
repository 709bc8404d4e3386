"""Other cameras, other air, other processing: what a made-up image goes through so that a model trusts none of it.

Strength 1 is as far as aerial and satellite images of one place usually differ; 0 leaves images as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FIELD_POINTS = 4
"""Lattice points a side of the smooth fields of light and haze."""

BLUR_REACH = 3
"""Pixels to either side that a blur mixes in."""

MOST_BLUR = 1.2
MOST_OFF = 1.5
"""Pixels: standard deviation of the blur, and of either coordinate's misregistration, at strength 1."""


def sensed(t1: Tensor, t2: Tensor, strength: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two batches (b, 3, h, w), float32 RGB 0-255, as other sensors would have seen them; T2 is also a little off.

    Both dates share a camera's colours and stray from them, each on its own. `generator` is a CPU's.
    """
    if strength == 0:
        return t1, t2
    camera = _mixing(len(t1), 0.16 * strength, generator)
    t2 = misregistered(t2, strength, generator)
    first, second = (_seen(each, camera, strength, generator) for each in (t1, t2))
    return first, second


def misregistered(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Images shifted by about a pixel, turned and scaled by a few thousandths."""
    count, height, width = len(images), *images.shape[-2:]
    shift, turn, scale = (_normal(count, *shape, generator=generator) for shape in ((2,), (1,), (1,)))
    angle, factor = turn[:, 0] * 0.002 * strength, 1 + scale[:, 0] * 0.002 * strength
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = factor * angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -factor * angle.sin(), factor * angle.sin()
    theta[:, :, 2] = shift * (MOST_OFF * strength) * torch.tensor([2 / width, 2 / height])
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _seen(images: Tensor, camera: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """One date: its light, its air, its camera's colours, sharpness, response and noise."""
    count, device = len(images), images.device
    light = (_field(images, generator) * 0.12 * strength).exp()
    haze = (_field(images, generator).clamp(min=0) * _uniform(count, generator).to(device) * 0.15 * strength).clamp(
        max=0.6
    )
    images = images * light * (1 - haze) + 205 * haze
    mixing = (camera + _mixing(count, 0.05 * strength, generator) - torch.eye(3)).to(device)
    images = torch.einsum("bij,bjhw->bihw", mixing, images)
    gain = (
        _normal(count, 1, 1, 1, generator=generator) * 0.15 + _normal(count, 3, 1, 1, generator=generator) * 0.07
    ) * strength
    offset = _normal(count, 3, 1, 1, generator=generator) * 8 * strength
    images = (images * gain.exp().to(device) + offset.to(device)).clamp(0, 255)
    gamma = (_normal(count, 1, 1, 1, generator=generator) * 0.18 * strength).exp().to(device)
    images = 255 * (images / 255) ** gamma
    images = blurred(images, MOST_BLUR * strength * _uniform(count, generator)[:, 0, 0, 0])
    return (images + _noise(images, 6 * strength * _uniform(count, generator), generator)).clamp(0, 255)


def blurred(images: Tensor, deviations: Tensor) -> Tensor:
    """Each image under a Gaussian of its own standard deviation in pixels (b,); 0 leaves it as it is."""
    count, bands, height, width = images.shape
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1)
    weights = torch.exp(-(steps**2) / (2 * deviations.clamp(min=1e-3)[:, None] ** 2))
    weights = (weights / weights.sum(1, keepdim=True)).to(images.device).repeat_interleave(bands, 0)
    flat = F.pad(images, [BLUR_REACH] * 4, mode="reflect").view(1, count * bands, height + 2 * BLUR_REACH, -1)
    down = F.conv2d(flat, weights[:, None, :, None], groups=count * bands)
    return F.conv2d(down, weights[:, None, None, :], groups=count * bands).view(count, bands, height, width)


def _mixing(count: int, spread: float, generator: torch.Generator) -> Tensor:
    """(count, 3, 3): how much of each band enters each other; rows sum to one, so that grey stays grey."""
    stray = _normal(count, 3, 3, generator=generator) * spread
    return torch.eye(3) + stray - stray.mean(2, keepdim=True)


def _field(images: Tensor, generator: torch.Generator) -> Tensor:
    """(b, 1, h, w) smooth, standard deviation about 1."""
    points = _normal(len(images), 1, FIELD_POINTS, FIELD_POINTS, generator=generator).to(images.device)
    return F.interpolate(points, size=images.shape[-2:], mode="bicubic", align_corners=True)


def _noise(images: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of a standard deviation per image, drawn where the images are: its bytes depend on the kind of device."""
    local = torch.Generator(images.device)
    local.manual_seed(int(torch.randint(2**62, (), generator=generator)))
    return torch.randn(images.shape, generator=local, device=images.device) * deviation.to(images.device)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) in [0, 1)."""
    return torch.rand(count, 1, 1, 1, generator=generator)
