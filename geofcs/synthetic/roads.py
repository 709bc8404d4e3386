"""Roads along the edges of quarters, each painted in halves by the two quarters beside it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from geofcs.synthetic import surfaces, town
from geofcs.synthetic.canvas import Box, Canvas
from geofcs.synthetic.noise import key_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.surfaces import Surface
from geofcs.synthetic.terrain import Point, spacing

MAIN_ROAD = 19.0
"""Metres from kerb to kerb."""

Edge = tuple[int, int, int]
"""Which axis of the net it runs along (0: x, 1: y), and the row and column where it begins."""


@dataclass(frozen=True)
class Road:
    """Metres from kerb to kerb, metres of verge on either side, and its looks; a main road crosses water."""

    width: float
    verge: float
    surface: Surface
    green: Surface
    walk: Surface
    paved: bool
    main: bool


def edges_of(row: int, col: int) -> list[Edge]:
    """The edges of a quarter: left, top, right, bottom."""
    return [(1, row, col), (0, row, col), (1, row, col + 1), (0, row + 1, col)]


def middle_of(parameters: SceneParameters, edge: Edge) -> Point:
    """(x, y) in the net, about half way along."""
    axis, row, col = edge
    step = spacing(parameters)
    return (col + 0.5 * (axis == 0)) * step, (row + 0.5 * (axis == 1)) * step


def road_along(parameters: SceneParameters, edge: Edge, usual: float, paved: bool) -> Road:
    """The road along an edge, `usual` metres wide but for main roads: the same whichever of its quarters asks."""
    axis, row, col = edge
    dice = Random(key_of(parameters.seed, "road", *edge))
    line, offset = (row, 1) if axis == 0 else (col, 3)
    main = not parameters.is_coarse and (line + offset + parameters.seed) % 4 == 0
    is_track = not (main or paved)
    width = MAIN_ROAD if main else usual
    if parameters.is_coarse or (is_track and dice.random() < 0.35):
        width = 0.0
    surface = surfaces.road(dice, paved=not is_track, bridges=main)
    green = surfaces.rough(dice, 0.3) if is_track else surfaces.lawn(dice, dice.choice((0.05, 0.5, 0.8)))
    verge = 0.0 if parameters.is_coarse else 2.5 if is_track else 5.5
    return Road(width, verge, surface, green, surfaces.pavement(dice), not is_track, main)


def paint_road(canvas: Canvas, side: int, road: Road) -> None:
    """The near half of a road along side 0 to 3 (left, top, right, bottom), with its verge, lines and cars."""
    across, far = side % 2, side >= 2
    whole = Box(0, 0, *canvas.size)
    depth = whole.size[across]

    def strip(start: float, stop: float) -> Box:
        return whole.cut(across, depth - stop, depth - start) if far else whole.cut(across, start, stop)

    half = road.width / 2
    if half == 0:
        return
    canvas.paint(strip(half, half + road.verge), road.green)
    canvas.paint(strip(0, half), road.surface)
    if not road.paved:
        return
    line = surfaces.marking(bridges=road.main)
    canvas.paint(strip(half, half + 2), road.walk)
    canvas.paint(strip(half - 0.35, half - 0.1), line)
    if road.main:
        canvas.paint(strip(0.1, 0.35), line)
        canvas.dashes(strip(half / 2 - 0.1, half / 2 + 0.15), 1 - across, 5, line)
    else:
        canvas.dashes(strip(0, 0.15), 1 - across, 4, line)
    town.parked(canvas, strip(half * 0.25, half * 0.25 + 2.1).inset(half), 1 - across, 0.05)
