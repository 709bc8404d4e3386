"""The lie of the land: how the net of roads is turned, where it is settled or wooded, where rivers run."""

from __future__ import annotations

import math
from random import Random

import numpy as np

from geofcs.synthetic.noise import Floats, Metres, fractal, key_of
from geofcs.synthetic.parameters import SceneParameters

Point = tuple[float, float]

SHORE = 0.05
"""Level of rivers, in the unit of `waterline`: half a river's width in kilometres, roughly."""


def spacing(parameters: SceneParameters) -> float:
    """Metres between the roads of the net."""
    return 4500.0 if parameters.is_coarse else 270.0


def turn(parameters: SceneParameters) -> Point:
    """(cosine, sine) of the angle that the net is turned by."""
    angle = Random(key_of(parameters.seed, "turn")).uniform(0.1, 1.4)
    return math.cos(angle), math.sin(angle)


def waterline(parameters: SceneParameters, y: Metres, x: Metres) -> Floats:
    """(len(y), len(x)) of how far above the nearest river the ground at (y, x) metres lies, about 1 per kilometre."""
    scale = 16.0 if parameters.is_coarse else 1.0
    key = key_of(parameters.seed, "rivers")
    return np.abs(fractal(key, y, x, (1700.0 * scale, 600.0 * scale, 210.0 * scale), 0.3))


def heights_above_water(parameters: SceneParameters, points: list[Point]) -> list[float]:
    """`waterline` at points (x, y) of the net, leaving bends aside."""
    cosine, sine = turn(parameters)
    y = np.array([sine * x + cosine * y for x, y in points])
    x = np.array([cosine * x - sine * y for x, y in points])
    heights: list[float] = waterline(parameters, y, x).diagonal().tolist()
    return heights


def zone_names(parameters: SceneParameters, points: list[Point]) -> list[str]:
    """The kinds of neighbourhood around points (x, y) of the net; the names are those of `quarter.ZONES`."""
    step = spacing(parameters)
    x, y = np.array([x for x, _ in points]) / step, np.array([y for _, y in points]) / step
    settled = fractal(key_of(parameters.seed, "settled"), y, x, (4.0, 1.5)).diagonal().tolist()
    wooded = fractal(key_of(parameters.seed, "wooded"), y, x, (3.0, 1.2)).diagonal().tolist()
    name = _coarse_zone if parameters.is_coarse else _zone
    return [name(*each) for each in zip(settled, wooded, strict=True)]


def _zone(settled: float, wooded: float) -> str:
    if settled > -0.3:
        return "centre" if settled > 0.55 else "suburb"
    return "woods" if wooded > 0.35 else "farms"


def _coarse_zone(settled: float, dry: float) -> str:
    return "city" if settled > 0.9 else "waste" if dry > 0.0 else "oasis"
