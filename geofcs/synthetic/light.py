"""Sunlight on land: slopes towards the sun are brighter, and whatever is high throws a shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geofcs.synthetic.noise import Floats

TALLEST = 27.0
"""No building or tree is higher, metres."""

PENUMBRA = 0.25
"""Metres that a pixel may lie below the edge of a shadow and still see the sun."""


@dataclass(frozen=True)
class Sun:
    """Where the sun stands, in degrees: azimuth clockwise from north, between 90 and 270, and elevation."""

    azimuth: float
    elevation: float

    @property
    def direction(self) -> tuple[float, float]:
        """Towards the sun in the image: (down, right), of length 1."""
        angle = math.radians(self.azimuth)
        return -math.cos(angle), math.sin(angle)

    @property
    def slope(self) -> float:
        """Metres that a ray rises per metre of ground."""
        return math.tan(math.radians(self.elevation))

    def strides(self, gsd: float) -> list[tuple[int, int, float]]:
        """(pixels down, pixels right, metres up) of the strides whose sums meet everything that may shade a pixel.

        The highest point over steps 0..2n-1 towards the sun is that over 0..n-1, or over the same n steps further on:
        a few long strides do for many steps.
        """
        down, right = self.direction
        reach, done, strides = math.ceil(TALLEST / self.slope / gsd), 1, []
        while done <= reach:
            step = min(done, reach + 1 - done)
            strides.append((round(down * step), round(right * step), step * gsd * self.slope))
            done += step
        return strides


def reach_of(suns: list[Sun], gsd: float) -> tuple[int, int]:
    """Pixels (below, beside) a window that may shade it or tilt its rim; above it, `RIM` do."""
    strides = [sun.strides(gsd) for sun in suns]
    below = max(sum(down for down, _, _ in each) for each in strides)
    beside = max(abs(sum(right for _, right, _ in each)) for each in strides)
    return below + RIM, beside + RIM


RIM = 1
"""Pixels that a slope is measured over, to either side."""


def sunlight(height: Floats, part: tuple[slice, slice], sun: Sun, gsd: float) -> Floats:
    """Direct light on `part` of the land: 0 in shadow, 1 on level ground, more on slopes towards the sun."""
    rows, cols = part
    falls = height[rows.start - 1 : rows.stop - 1, cols] - height[rows.start + 1 : rows.stop + 1, cols]
    rises = height[rows, cols.start + 1 : cols.stop + 1] - height[rows, cols.start - 1 : cols.stop - 1]
    (down, right), per_metre = sun.direction, 1 / (2 * gsd * sun.slope)
    facing = np.float32(down * per_metre) * falls - np.float32(right * per_metre) * rises
    light: Floats = 1 + np.clip(facing, -0.55, 0.4)
    light *= shadow_top(height, sun, gsd)[part] <= height[part] + np.float32(PENUMBRA)
    return light


def shadow_top(height: Floats, sun: Sun, gsd: float) -> Floats:
    """The height below which each pixel lies in the shadow of another, or its own height."""
    top = height
    for down, right, rise in sun.strides(gsd):
        top = _raised(top, down, right, np.float32(rise))
    return top


def _raised(top: Floats, down: int, right: int, rise: np.float32) -> Floats:
    """The larger of each pixel and of the one at an offset, lowered; where that is outside, the pixel."""
    result = top.copy()
    h, w = top.shape
    here = result[max(0, -down) : h - max(0, down), max(0, -right) : w - max(0, right)]
    there = top[max(0, down) : h + min(0, down), max(0, right) : w + min(0, right)]
    np.maximum(here, there - rise, out=here)
    return result
