"""Weights and inputs of the conformance cases: every value follows from a name and a shape."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

BY_LAST_NAME: dict[str, Callable[[Array], Array]] = {
    "running_mean": lambda x: 0.1 * x,
    "running_var": lambda x: 1.0 + 0.1 * np.abs(x),
    "A_logs": lambda x: 0.5 * x,
    "Ds": lambda x: 1.0 + 0.1 * x,
    "dt_projs_bias": lambda x: -3.0 + 0.5 * x,
    "x_proj_weight": lambda x: x / math.sqrt(x.shape[-1]),
    "dt_projs_weight": lambda x: x / math.sqrt(x.shape[-1]),
    "bias": lambda x: 0.1 * x,
}
"""How a tensor is made of normal numbers, by the last part of its published name."""


def draw(name: str, shape: tuple[int, ...]) -> Array:
    """Standard-normal float32 numbers that depend on nothing but `name` and `shape`."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return generator.standard_normal(shape, dtype=np.float32)


def weight(key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32 | np.int64]:
    """The value of the tensor published as `key`."""
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    x = draw(key, shape)
    if last in BY_LAST_NAME:
        return BY_LAST_NAME[last](x)
    if len(shape) == 1:  # a norm's scale
        return 1.0 + 0.1 * x
    return x / math.sqrt(max(1, math.prod(shape[1:])))


def image(name: str, shape: tuple[int, int, int, int]) -> Array:
    """A normalised batch of images: smooth blobs with a little noise."""
    batch, bands, height, width = shape
    coarse = draw(name + "/coarse", (batch, bands, -(-height // 16) + 1, -(-width // 16) + 1))
    top, down = _between(height, coarse.shape[2])
    left, right = _between(width, coarse.shape[3])
    rows = coarse[:, :, top] * (1 - down)[:, None] + coarse[:, :, top + 1] * down[:, None]
    smooth = rows[..., left] * (1 - right) + rows[..., left + 1] * right
    return (smooth + 0.25 * draw(name + "/noise", shape)).astype(np.float32)


def _between(length: int, cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """For each pixel the coarse cell before it, and how far it is on its way to the next."""
    place = np.linspace(0, cells - 1, length)
    cell = np.minimum(place.astype(int), cells - 2)
    return cell, place - cell
