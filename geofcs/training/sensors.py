"""Other cameras, other air, other processing: what a made-up image goes through so that a model trusts none of it.

Strength 1 is as far as aerial and satellite images of one place usually differ; 0 leaves images as they are.
"""

from __future__ import annotations

from typing import NamedTuple

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

SHARED_MIXING, OWN_MIXING = 0.1, 0.05
"""How far bands mix at strength 1: bands of one camera are what they are at both dates."""

SHARED = 0.6
"""Strength of the camera that both dates share, at strength 1."""


class Camera(NamedTuple):
    """What a sensor and its processing make of an image: bands mixed, scaled and lifted, then a curve.

    `mixing` (b, 3, 3) strays from the identity; `gain` (b, 3, 1, 1) and `gamma` (b, 1, 1, 1) are logarithms; `offset`
    (b, 3, 1, 1) is in grey levels. Cameras of which all is 0 change nothing.
    """

    mixing: Tensor
    gain: Tensor
    offset: Tensor
    gamma: Tensor

    def and_then(self, other: Camera) -> Camera:
        """What both stray, together."""
        return Camera(*(one + another for one, another in zip(self, other, strict=True)))


def sensed(t1: Tensor, t2: Tensor, strength: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two batches (b, 3, h, w), float32 RGB 0-255, as other sensors would have seen them; T2 is also a little off.

    Both dates of a pair share a camera. Each date strays from that on its own: in some
    pairs hardly, as images of one satellite do, in others with `strength`. `generator` is a CPU's.
    """
    if strength == 0:
        return t1, t2
    shared = _camera(torch.full((len(t1),), SHARED * strength), SHARED_MIXING, generator)
    apart = strength * torch.rand(len(t1), generator=generator)
    t2 = misregistered(t2, apart, generator)
    first, second = (_seen(each, shared, apart, generator) for each in (t1, t2))
    return first, second


def misregistered(images: Tensor, strengths: Tensor, generator: torch.Generator) -> Tensor:
    """Images shifted by about a pixel, turned and scaled by a few thousandths, each at its own strength (b,)."""
    count, height, width = len(images), *images.shape[-2:]
    shift, turn, scale = (_normal(count, *shape, generator=generator) for shape in ((2,), (), ()))
    angle, factor = turn * 0.002 * strengths, 1 + scale * 0.002 * strengths
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = factor * angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -factor * angle.sin(), factor * angle.sin()
    theta[:, :, 2] = shift * (MOST_OFF * strengths)[:, None] * torch.tensor([2 / width, 2 / height])
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _seen(images: Tensor, shared: Camera, strengths: Tensor, generator: torch.Generator) -> Tensor:
    """One date: its light, its air, its camera, its sharpness and noise, all as strong as each pair has it (b,)."""
    count, strong = len(images), _each(strengths, images)
    light = (_field(images, generator) * 0.12 * strong).exp()
    haze = _field(images, generator).clamp(min=0) * _each(torch.rand(count, generator=generator), images)
    haze = (haze * 0.15 * strong).clamp(max=0.6)
    images = images * light * (1 - haze) + 205 * haze
    images = _taken(images, shared.and_then(_camera(strengths, OWN_MIXING, generator)))
    images = blurred(images, MOST_BLUR * strengths * torch.rand(count, generator=generator))
    deviation = 6 * strengths * torch.rand(count, generator=generator)
    return (images + _noise(images, _each(deviation, images), generator)).clamp(0, 255)


def _camera(strengths: Tensor, mixing: float, generator: torch.Generator) -> Camera:
    """A camera for each strength (b,); rows of its mixing sum to one, so that grey stays grey."""
    count, strong = len(strengths), strengths[:, None, None, None]
    stray = _normal(count, 3, 3, generator=generator) * mixing * strong[..., 0]
    gain = _normal(count, 1, 1, 1, generator=generator) * 0.15 + _normal(count, 3, 1, 1, generator=generator) * 0.07
    offset, gamma = (
        _normal(count, 3, 1, 1, generator=generator) * 8,
        _normal(count, 1, 1, 1, generator=generator) * 0.18,
    )
    return Camera(stray - stray.mean(2, keepdim=True), gain * strong, offset * strong, gamma * strong)


def _taken(images: Tensor, camera: Camera) -> Tensor:
    """Images as a camera gives them."""
    stray, gain, offset, gamma = (each.to(images.device) for each in camera)
    images = images + torch.einsum("bij,bjhw->bihw", stray, images)
    images = (images * gain.exp() + offset).clamp(0, 255)
    return 255 * (images / 255) ** gamma.exp()


def blurred(images: Tensor, deviations: Tensor) -> Tensor:
    """Each image under a Gaussian of its own standard deviation in pixels (b,); 0 leaves it as it is."""
    count, bands, height, width = images.shape
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1)
    weights = torch.exp(-(steps**2) / (2 * deviations.clamp(min=1e-3)[:, None] ** 2))
    weights = (weights / weights.sum(1, keepdim=True)).to(images.device).repeat_interleave(bands, 0)
    flat = F.pad(images, [BLUR_REACH] * 4, mode="reflect").view(1, count * bands, height + 2 * BLUR_REACH, -1)
    down = F.conv2d(flat, weights[:, None, :, None], groups=count * bands)
    return F.conv2d(down, weights[:, None, None, :], groups=count * bands).view(count, bands, height, width)


def _field(images: Tensor, generator: torch.Generator) -> Tensor:
    """(b, 1, h, w) smooth, standard deviation about 1."""
    points = _normal(len(images), 1, FIELD_POINTS, FIELD_POINTS, generator=generator).to(images.device)
    return F.interpolate(points, size=images.shape[-2:], mode="bicubic", align_corners=True)


def _noise(images: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of a standard deviation per image, drawn where the images are: its bytes depend on the kind of device."""
    local = torch.Generator(images.device)
    local.manual_seed(int(torch.randint(2**62, (), generator=generator)))
    return torch.randn(images.shape, generator=local, device=images.device) * deviation


def _each(values: Tensor, images: Tensor) -> Tensor:
    """A value per image (b,), shaped and placed so that it multiplies them."""
    return values[:, None, None, None].to(images.device)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)
