"""Where things lie: an endless net of crooked quarters between roads, each with a plan of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.canvas import Canvas
from geofcs.synthetic.noise import key_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.quarter import paint_quarter
from geofcs.synthetic.surfaces import Surface
from geofcs.synthetic.terrain import Point, spacing

JITTER = 0.18
"""How far the corners of a quarter stray, as a share of the lattice; below a quarter it stays convex."""


@dataclass(frozen=True)
class Plan:
    """A painted quarter: where it lies, and two rasters of indices into `surfaces`.

    `to_plan` (3, 3) maps ground coordinates relative to `origin`, homogeneous (x, y, 1), to the unit square; `bounds`
    are its (left, top, right, bottom). `size` is the length of the square's sides in metres.
    """

    origin: Point
    to_plan: npt.NDArray[np.float64]
    bounds: tuple[float, float, float, float]
    size: tuple[float, float]
    before: npt.NDArray[np.uint16]
    after: npt.NDArray[np.uint16]
    surfaces: tuple[Surface, ...]


def quarters_within(parameters: SceneParameters, left: float, top: float, right: float, bottom: float) -> list[Plan]:
    """The painted quarters that may reach into a rectangle of the net's own coordinates, row by row."""
    step = spacing(parameters)
    rows = range(math.floor(top / step - JITTER) - 1, math.floor(bottom / step + JITTER) + 1)
    cols = range(math.floor(left / step - JITTER) - 1, math.floor(right / step + JITTER) + 1)
    plans = []
    for row in rows:
        for col in cols:
            corners = _corners(parameters.seed, row, col, step)
            xs, ys = zip(*corners, strict=True)
            if min(xs) <= right and max(xs) >= left and min(ys) <= bottom and max(ys) >= top:
                plans.append(plan_of(parameters, row, col))
    return plans


@lru_cache(maxsize=48)
def plan_of(parameters: SceneParameters, row: int, col: int) -> Plan:
    """The quarter at a place in the net, painted."""
    corners = _corners(parameters.seed, row, col, spacing(parameters))
    origin = corners[0]
    sides = [math.dist(corners[a], corners[b]) for a, b in ((0, 1), (2, 3), (0, 2), (1, 3))]
    size = (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2
    square = _to_square([(x - origin[0], y - origin[1]) for x, y in corners])
    canvas = Canvas(
        size, parameters.fine_gsd / 2, parameters.change,
        Random(key_of(parameters.seed, "traffic", row, col)), parameters.nuisances.traffic,
    )  # fmt: skip
    paint_quarter(parameters, canvas, row, col, corners)
    xs, ys = zip(*corners, strict=True)
    bounds = min(xs), min(ys), max(xs), max(ys)
    return Plan(origin, square, bounds, size, canvas.before, canvas.after, tuple(canvas.surfaces))


def _corners(seed: int, row: int, col: int, step: float) -> list[Point]:
    """(x, y) of the corners: top left, top right, bottom left, bottom right."""
    return [_corner(seed, row + down, col + across, step) for down in (0, 1) for across in (0, 1)]


@lru_cache(maxsize=4096)
def _corner(seed: int, row: int, col: int, step: float) -> Point:
    dice = Random(key_of(seed, "corner", row, col))
    return (col + dice.uniform(-JITTER, JITTER)) * step, (row + dice.uniform(-JITTER, JITTER)) * step


def _to_square(corners: list[Point]) -> npt.NDArray[np.float64]:
    """The projective map that takes four corners to those of the unit square (Heckbert 1989, section 2.2.3)."""
    (x0, y0), (x1, y1), (x3, y3), (x2, y2) = corners
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    scale = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / scale, (dx1 * sy - sx * dy1) / scale
    a, b, d, e = x1 - x0 + g * x1, x3 - x0 + h * x3, y1 - y0 + g * y1, y3 - y0 + h * y3
    adjugate = np.array(
        [
            [e - y0 * h, x0 * h - b, b * y0 - x0 * e],
            [y0 * g - d, a - x0 * g, x0 * d - a * y0],
            [d * h - e * g, b * g - a * h, a * e - b * d],
        ]
    )
    return adjugate / (a * e - b * d)
