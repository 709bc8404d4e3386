"""What differs between two images of unchanged land: sun, season, haze, sensor, noise, registration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.noise import Floats, key_of
from geofcs.synthetic.parameters import SceneParameters

Bands = tuple[float, float, float]

LOWEST_SUN = 38.0
"""Degrees; bounds how far a shadow reaches."""


@dataclass(frozen=True)
class Conditions:
    """Under what conditions one date was taken. Angles are degrees, azimuth clockwise from north, colours RGB.

    `living` multiplies the colours of vegetation; `later_crops` mixes in the second date's crops and `later_patches`
    another pattern of growth. Haze covers a share of the light with its colour. `gain` and `gamma` are the sensor's;
    `noise` is a standard deviation in grey levels; `blur` is the share a pixel gives to each neighbour; `shift` is
    (rows, cols) in pixels by which the image is off.
    """

    azimuth: float = 150.0
    elevation: float = 52.0
    living: Bands = (1.0, 1.0, 1.0)
    later_crops: float = 0.0
    later_patches: float = 0.0
    haze: float = 0.0
    haze_colour: Bands = (184.0, 192.0, 202.0)
    gain: Bands = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    noise: float = 0.0
    blur: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)


def conditions_of(parameters: SceneParameters) -> tuple[Conditions, Conditions]:
    """The conditions of both dates: with no nuisances the same, else two drawn from the seed."""
    dice = Random(key_of(parameters.seed, "conditions"))
    common = Conditions(
        azimuth=dice.uniform(130, 170), elevation=dice.uniform(44, 60), noise=1.2 * parameters.nuisances.noise
    )
    strengths = parameters.nuisances
    turned, raised = dice.choice((-1, 1)) * dice.uniform(12, 40), dice.uniform(-14, 14)
    green, dry = dice.uniform(-0.2, 0.24), dice.uniform(-0.12, 0.12)
    tint = dice.uniform(-0.05, 0.05)
    far, heading = dice.uniform(0.3, 1.0), dice.uniform(0, 2 * math.pi)
    second = Conditions(
        azimuth=min(max(common.azimuth + turned * strengths.light, 95), 220),
        elevation=min(max(common.elevation + raised * strengths.light, LOWEST_SUN), 70),
        living=_bounded(strengths.season, (green + dry, green * 0.45, green * 0.7 - dry)),
        later_crops=min(1.0, strengths.season),
        later_patches=min(0.7, 0.5 * strengths.season),
        haze=min(0.5, dice.uniform(0.0, 0.17) * strengths.haze),
        gain=_bounded(
            strengths.sensor, (dice.uniform(-0.1, 0.12) + tint, dice.uniform(-0.1, 0.1), dice.uniform(-0.1, 0.1) - tint)
        ),
        gamma=2 ** (dice.uniform(-0.25, 0.25) * strengths.sensor),
        noise=dice.uniform(0.8, 3.0) * strengths.noise,
        blur=min(0.2, dice.uniform(0.0, 0.09) * strengths.noise),
        shift=(far * math.sin(heading) * strengths.shift, far * math.cos(heading) * strengths.shift),
    )
    return common, second


def _bounded(strength: float, relative: Bands) -> Bands:
    r, g, b = (min(max(1 + strength * each, 0.5), 1.8) for each in relative)
    return r, g, b


def season_colours(table: dict[str, npt.NDArray[Any]], conditions: Conditions) -> Floats:
    """(n, 3) colours of all things at a date."""
    colour, later = table["colour"], table["colour_later"]
    grown = colour + np.float32(conditions.later_crops) * (later - colour)
    tint = np.array(conditions.living, np.float32) - 1
    seen: Floats = grown * (1 + table["living"][:, None] * tint)
    return seen


def resampled(plane: Floats, conditions: Conditions) -> Floats:
    """A band shifted and blurred as optics and registration do; two pixels smaller on each side."""
    down, right = conditions.shift
    return _filtered(_filtered(plane, down, conditions.blur, 0), right, conditions.blur, 1)


def _filtered(plane: Floats, shift: float, blur: float, axis: int) -> Floats:
    """Along one axis, a quadratic B-spline about the shifted position: never sharper than a pixel."""
    whole = min(max(round(shift), -MOST_SHIFT), MOST_SHIFT)
    part = min(max(shift - whole, -0.5), 0.5)
    taps = ((0.5 - part) ** 2 / 2 + blur, 0.75 - part**2 - 2 * blur, (0.5 + part) ** 2 / 2 + blur)
    length = plane.shape[axis] - 2 * MARGIN
    total = None
    for tap, weight in enumerate(taps):
        start = MARGIN + whole + tap - 1
        window = plane[start : start + length] if axis == 0 else plane[:, start : start + length]
        total = window * np.float32(weight) if total is None else total + window * np.float32(weight)
    assert total is not None
    return total


MOST_SHIFT = 4
MARGIN = MOST_SHIFT + 1
"""Pixels that `resampled` needs around its result."""

STEPS = 4
"""Positions of the sensor's response per grey level."""


def response(conditions: Conditions, band: int) -> npt.NDArray[np.uint8]:
    """What the sensor makes of radiance / 4 grey levels: index 4 x the clear grey level, value the pixel's."""
    radiance = np.arange(256 * STEPS) / STEPS
    hazy = radiance * (1 - conditions.haze) + conditions.haze_colour[band] * conditions.haze
    curved = [255 * min(1.0, each * conditions.gain[band] / 255) ** conditions.gamma for each in hazy.tolist()]
    return np.array([round(each) for each in curved], np.uint8)
