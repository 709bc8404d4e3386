"""The augmentations, plainly in torch on whole batches: what is drawn depends on a seed alone, not on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from geofcs.training.batches import Batch
from geofcs.training.config import AugmentConfig
from geofcs.training.sensors import sensed

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey level (ITU-R BT.601)."""

BRIGHTNESS_LIMITS = (0.8, 1.2)
CONTRAST_LIMITS = SATURATION_LIMITS = (0.9, 1.1)


def augmented(batch: Batch, options: AugmentConfig, generator: torch.Generator) -> Batch:
    """A batch of square uint8 images, turned, mirrored, swapped and recoloured; images become float32, 0-255.

    Geometry and order are drawn per pair, colours per image. `generator` is a CPU's.
    """
    batch = swapped(turned(batch, options, generator), options.swap, generator)
    t1, t2 = sensed(batch.t1.float(), batch.t2.float(), options.sensors, generator)
    t1, t2 = (recoloured(each, options, generator) for each in (t1, t2))
    return batch._replace(t1=t1, t2=t2)


def turned(batch: Batch, options: AugmentConfig, generator: torch.Generator) -> Batch:
    """Each pair mirrored along either axis with probability `flip`, then turned by 90, 180 or 270 degrees (never 0)."""
    count, device = len(batch.names), batch.t1.device
    mirrored, upended = (torch.rand(2, count, generator=generator) < options.flip).to(device)
    quarters = torch.randint(1, 4, (count,), generator=generator).to(device) * int(options.rotate)
    stack = torch.cat([batch.t1, batch.t2, torch.stack([batch.change, batch.label1, batch.label2], 1)], 1)
    stack = _where(mirrored, stack.flip(-1), stack)
    stack = _where(upended, stack.flip(-2), stack)
    stack = _where(quarters % 2 == 1, stack.mT, stack) if options.rotate else stack
    stack = _where((quarters == 1) | (quarters == 2), stack.flip(-2), stack)
    stack = _where(quarters >= 2, stack.flip(-1), stack)
    return Batch(stack[:, :3], stack[:, 3:6], stack[:, 6], stack[:, 7], stack[:, 8], batch.names)


def swapped(batch: Batch, probability: float, generator: torch.Generator) -> Batch:
    """Each pair in the other order of time with that probability."""
    swap = (torch.rand(len(batch.names), generator=generator) < probability).to(batch.t1.device)
    return batch._replace(
        t1=_where(swap, batch.t2, batch.t1),
        t2=_where(swap, batch.t1, batch.t2),
        label1=_where(swap, batch.label2, batch.label1),
        label2=_where(swap, batch.label1, batch.label2),
    )


def recoloured(images: Tensor, options: AugmentConfig, generator: torch.Generator) -> Tensor:
    """(b, 3, h, w) of the same: brightness, contrast and saturation in this order, each clipped to 0-255."""
    count, device = len(images), images.device
    bright = _factors(count, options.brightness, BRIGHTNESS_LIMITS, generator).to(device)
    contrast = _factors(count, options.contrast, CONTRAST_LIMITS, generator).to(device)
    saturation = _factors(count, options.saturation, SATURATION_LIMITS, generator).to(device)
    images = (images * bright).clamp(0, 255)
    images = _blended(images, _grey(images).mean((-2, -1), keepdim=True), contrast)
    return _blended(images, _grey(images), saturation)


def _factors(count: int, spread: float, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) factors, normal about 1, clipped to the limits."""
    return (1 + spread * torch.randn(count, 1, 1, 1, generator=generator)).clamp(*limits)


def _grey(images: Tensor) -> Tensor:
    """(b, 3, h, w) -> (b, 1, h, w)."""
    weights = torch.tensor(GREY, device=images.device)[:, None, None]
    return (images * weights).sum(1, keepdim=True)


def _blended(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`factor` of the images and the rest of the other: beyond 1 away from it."""
    return (images * factor + other * (1 - factor)).clamp(0, 255)


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a` for the chosen pairs of a batch, `b` for the others."""
    return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)
