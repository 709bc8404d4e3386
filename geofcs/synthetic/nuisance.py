"""What differs between two images of unchanged land: sun, season, haze, sensor, noise, registration."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.light import Sun
from geofcs.synthetic.noise import Floats, key_of
from geofcs.synthetic.parameters import Nuisances, SceneParameters

Bands = tuple[float, float, float]

MOST_SHIFT = 4
MARGIN = MOST_SHIFT + 1
"""Pixels that `resampled` needs around its result."""


@dataclass(frozen=True)
class Conditions:
    """Under what conditions one date was taken. Colours are RGB.

    `living` multiplies the colours of vegetation; `later_crops` mixes in the second date's crops and `later_patches`
    another pattern of growth. Haze covers a share of the light with its colour. `gain` and `gamma` are the sensor's;
    `noise` is a standard deviation in grey levels; `blur` is the share a pixel gives to each neighbour; `shift` is
    (rows, cols) in pixels by which the image is off.
    """

    sun: Sun
    living: Bands
    gain: Bands
    gamma: float
    haze: float
    noise: float
    blur: float
    later_crops: float = 0.0
    later_patches: float = 0.0
    haze_colour: Bands = (184.0, 192.0, 202.0)
    shift: tuple[float, float] = (0.0, 0.0)


def conditions_of(parameters: SceneParameters) -> tuple[Conditions, Conditions]:
    """The conditions of both dates: with no nuisances the same, else the second strays from the first."""
    dice = Random(key_of(parameters.seed, "conditions"))
    first = _usual(dice, parameters.nuisances.noise)
    return first, _strayed(first, Random(key_of(parameters.seed, "nuisances")), parameters.nuisances)


def _usual(dice: Random, noise: float) -> Conditions:
    """A summer noon somewhere, as some sensor sees it."""
    bright, warm = dice.uniform(0.95, 1.3), dice.uniform(-0.05, 0.05)
    return Conditions(
        sun=Sun(dice.uniform(130, 170), dice.uniform(44, 60)),
        living=_times((1, 1, 1), 1, (dice.uniform(-0.1, 0.12), dice.uniform(-0.06, 0.06), dice.uniform(-0.1, 0.1))),
        gain=_times((bright, bright, bright), 1, (warm, dice.uniform(-0.03, 0.03), -warm)),
        gamma=dice.uniform(0.85, 1.1),
        haze=dice.uniform(0.0, 0.1),
        noise=dice.uniform(0.6, 1.6) * noise,
        blur=dice.uniform(0.02, 0.08),
    )


def _strayed(first: Conditions, dice: Random, strengths: Nuisances) -> Conditions:
    """Another day of another year, perhaps another sensor."""
    turned, raised = dice.choice((-1, 1)) * dice.uniform(12, 40), dice.uniform(-14, 14)
    green, dry, tint = dice.uniform(-0.16, 0.14), dice.uniform(-0.06, 0.08), dice.uniform(-0.05, 0.05)
    gains = tuple(dice.uniform(-0.09, 0.09) for _ in range(3))
    far, heading = dice.uniform(0.3, 1.0) * strengths.shift, dice.uniform(0, 2 * math.pi)
    return replace(
        first,
        sun=Sun(
            min(max(first.sun.azimuth + turned * strengths.light, 95), 220),
            min(max(first.sun.elevation + raised * strengths.light, 38), 70),
        ),
        living=_times(first.living, strengths.season, (green + dry, green * 0.4, green * 0.5 - dry)),
        later_crops=min(1.0, strengths.season),
        later_patches=min(0.7, 0.5 * strengths.season),
        haze=min(0.5, first.haze + dice.uniform(0.0, 0.12) * strengths.haze),
        gain=_times(first.gain, strengths.sensor, (gains[0] + tint, gains[1], gains[2] - tint)),
        gamma=first.gamma * 2 ** (dice.uniform(-0.25, 0.25) * strengths.sensor),
        noise=dice.uniform(0.8, 3.0) * strengths.noise,
        blur=min(0.2, first.blur + dice.uniform(0.0, 0.06) * strengths.noise),
        shift=(far * math.sin(heading), far * math.cos(heading)),
    )


def _times(bands: Bands, strength: float, relative: Bands) -> Bands:
    r, g, b = (value * min(max(1 + strength * each, 0.5), 1.8) for value, each in zip(bands, relative, strict=True))
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


STEPS = 4
"""Positions of the sensor's response per grey level."""


def response(conditions: Conditions, band: int) -> npt.NDArray[np.uint8]:
    """What the sensor makes of radiance / 4 grey levels: index 4 x the clear grey level, value the pixel's."""
    radiance = np.arange(256 * STEPS) / STEPS
    hazy = radiance * (1 - conditions.haze) + conditions.haze_colour[band] * conditions.haze
    curved = [255 * min(1.0, each * conditions.gain[band] / 255) ** conditions.gamma for each in hazy.tolist()]
    return np.array([round(each) for each in curved], np.uint8)
