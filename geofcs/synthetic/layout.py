"""Where things lie: an endless net of crooked quarters between roads, each painted as a plan of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from geofcs.synthetic import country, regions, surfaces, town
from geofcs.synthetic.canvas import Box, Canvas, subdivided
from geofcs.synthetic.change import Dates, future_of
from geofcs.synthetic.noise import Floats, Metres, fractal, key_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.surfaces import Surface

Point = tuple[float, float]
Paint = Callable[[Canvas, Box, Random, Dates], None]

JITTER = 0.21
"""How far the corners of a quarter stray, as a share of the lattice; below a quarter it stays convex."""

PAINTERS: dict[str, Paint] = {
    "houses": town.houses,
    "apartments": town.apartments,
    "industry": town.industry,
    "school": town.school,
    "park": town.park,
    "construction": town.construction,
    "wasteland": town.wasteland,
    "farmland": country.farmland,
    "woodland": country.woodland,
    "meadow": country.meadow,
    "fishponds": country.fishponds,
    "fields": regions.fields,
    "desert": regions.desert,
    "town": regions.town,
    "reservoir": regions.reservoir,
}
"""How each use of land is painted."""

ON_DRY_LAND = {"houses", "apartments", "industry", "school", "construction", "fishponds", "town"}
"""Uses that keep away from rivers."""

SHORE = 0.05
"""Level of rivers, in the unit of `waterline`: half a river's width in kilometres, roughly."""


@dataclass(frozen=True)
class Zone:
    """A kind of neighbourhood: how likely each use is, how large lots are, and what runs between them."""

    uses: dict[str, float]
    lot: tuple[float, float]
    road: float
    lane: float
    paved: bool


ZONES = {
    "centre": Zone(
        {"apartments": 8, "houses": 3, "industry": 3, "school": 2, "park": 2, "construction": 1, "wasteland": 1},
        (105, 150), 13, 7, True,
    ),
    "suburb": Zone(
        {"houses": 7, "apartments": 2, "industry": 3, "school": 1, "farmland": 2, "park": 1, "wasteland": 1.5},
        (85, 140), 9, 6, True,
    ),
    "farms": Zone(
        {"farmland": 9, "meadow": 3, "houses": 0.7, "woodland": 0.8, "fishponds": 0.7},
        (140, 260), 5, 3, False,
    ),
    "woods": Zone({"meadow": 9, "woodland": 3, "farmland": 1.2, "wasteland": 0.3}, (140, 260), 3.5, 0, False),
    "oasis": Zone({"fields": 9, "town": 1, "reservoir": 0.5, "desert": 1.2}, (1200, 2600), 45, 20, False),
    "city": Zone({"town": 8, "fields": 2}, (900, 2000), 40, 20, True),
    "waste": Zone({"desert": 12, "fields": 0.6, "reservoir": 0.25}, (1500, 4000), 0, 0, False),
}  # fmt: skip


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


def spacing(parameters: SceneParameters) -> float:
    """Metres between the roads of the net."""
    return 4500.0 if parameters.is_coarse else 270.0


def turn(parameters: SceneParameters) -> Point:
    """(cosine, sine) of the angle that the net is turned by."""
    angle = Random(key_of(parameters.seed, "turn")).uniform(0.1, 1.4)
    return math.cos(angle), math.sin(angle)


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
        size, parameters.gsd / parameters.samples / 2, parameters.change,
        Random(key_of(parameters.seed, "traffic", row, col)), parameters.nuisances.traffic,
    )  # fmt: skip
    _paint_quarter(parameters, canvas, row, col, corners)
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


def _paint_quarter(parameters: SceneParameters, canvas: Canvas, row: int, col: int, corners: list[Point]) -> None:
    """Lots inside, each used for something at either date, and roads along the edges."""
    dice = Random(key_of(parameters.seed, "quarter", row, col))
    x, y = (sum(axis) / 4 for axis in zip(*corners, strict=True))
    zone = ZONES[zone_at(parameters, x, y)]
    canvas.paint(Box(0, 0, *canvas.size), _between_lots(parameters, zone, dice))
    roads = [_road(parameters, *edge) for edge in _edges(row, col)]
    left, top, right, bottom = (each.width / 2 + each.verge for each in roads)
    inner = Box(left, top, canvas.size[0] - right, canvas.size[1] - bottom)
    for lot in subdivided(inner, dice, dice.uniform(*zone.lot), zone.lane):
        _paint_lot(parameters, canvas, zone, lot, dice, corners)
    for edge, road in enumerate(roads):
        _paint_road(canvas, edge, road)


def _between_lots(parameters: SceneParameters, zone: Zone, dice: Random) -> Surface:
    if parameters.is_coarse:
        return regions.open_land(dice, farmed=zone.lane > 0)
    if zone.paved:
        return surfaces.road(dice)
    return surfaces.rough(dice, 0.2) if dice.random() < 0.5 else surfaces.road(dice, paved=False)


def _paint_lot(
    parameters: SceneParameters, canvas: Canvas, zone: Zone, lot: Box, dice: Random, corners: list[Point]
) -> None:
    use = dice.choices(list(zone.uses), list(zone.uses.values()))[0]
    own, others = Random(dice.getrandbits(64)), Random(dice.getrandbits(64))
    later = future_of(use, dice, parameters.change)
    wet = _is_wet(parameters, canvas, lot, corners)
    use, later = (_fitting(each, lot, wet) for each in (use, later))
    if later == use:
        PAINTERS[use](canvas, lot, own, Dates.BOTH)
        return
    PAINTERS[use](canvas, lot, own, Dates.FIRST)
    PAINTERS[later](canvas, lot, others, Dates.SECOND)


def _fitting(use: str, lot: Box, wet: bool) -> str:
    """The use, or what is there instead where the lot is too small for it or too near to water."""
    if wet and use in ON_DRY_LAND:
        return "meadow"
    if use == "school" and (max(lot.size) < 85 or min(lot.size) < 50):
        return "park"
    return use


def _is_wet(parameters: SceneParameters, canvas: Canvas, lot: Box, corners: list[Point]) -> bool:
    """Whether a river or lake comes near the lot."""
    s, t = (lot.p0 + lot.p1) / 2 / canvas.size[0], (lot.q0 + lot.q1) / 2 / canvas.size[1]
    x, y = ((1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * c + s * d) for a, b, c, d in zip(*corners, strict=True))
    cosine, sine = turn(parameters)
    height = waterline(parameters, np.array([sine * x + cosine * y]), np.array([cosine * x - sine * y]))
    reach = math.hypot(*lot.size) * (0.045 if parameters.is_coarse else 0.7) / 1000
    return float(height[0, 0]) < SHORE + reach


def _edges(row: int, col: int) -> list[tuple[int, int, int]]:
    """The quarter's edges, left, top, right, bottom: which axis they run along in the net, and where they begin."""
    return [(1, row, col), (0, row, col), (1, row, col + 1), (0, row + 1, col)]


@dataclass(frozen=True)
class Road:
    """Half of what a quarter sees of it: metres from kerb to kerb, metres of verge, its look."""

    width: float
    verge: float
    surface: Surface
    green: Surface
    paved: bool
    main: bool


def _road(parameters: SceneParameters, axis: int, row: int, col: int) -> Road:
    """The road along an edge of the net: the same whichever of its two quarters asks."""
    dice = Random(key_of(parameters.seed, "road", axis, row, col))
    step = spacing(parameters)
    zone = ZONES[zone_at(parameters, (col + 0.5 * (axis == 0)) * step, (row + 0.5 * (axis == 1)) * step)]
    line, offset = (row, 1) if axis == 0 else (col, 3)
    main = not parameters.is_coarse and (line + offset + parameters.seed) % 4 == 0
    paved = zone.paved or main
    width = 19.0 if main else zone.road
    if parameters.is_coarse or (not main and not zone.paved and dice.random() < 0.35):
        width = 0.0
    surface = surfaces.road(dice, paved=paved, bridges=main)
    green = surfaces.lawn(dice, dice.choice((0.05, 0.5, 0.8))) if paved else surfaces.rough(dice, 0.3)
    return Road(width, 0.0 if parameters.is_coarse else 3.0, surface, green, paved, main)


def _paint_road(canvas: Canvas, edge: int, road: Road) -> None:
    """The near half of a road along an edge, with its verge, lines and cars."""
    across, far = edge % 2, edge >= 2
    whole = Box(0, 0, *canvas.size)
    depth = whole.size[across]

    def strip(start: float, stop: float) -> Box:
        return whole.cut(across, depth - stop, depth - start) if far else whole.cut(across, start, stop)

    half = road.width / 2
    if half == 0:
        return
    canvas.paint(strip(half, half + road.verge).inset(half), road.green)
    canvas.paint(strip(0, half), road.surface)
    if not road.paved:
        return
    line = surfaces.marking(bridges=road.main)
    canvas.paint(strip(half - 0.35, half - 0.1), line)
    if road.main:
        canvas.paint(strip(0.1, 0.35), line)
        canvas.dashes(strip(half / 2 - 0.1, half / 2 + 0.15), 1 - across, 5, line)
    else:
        canvas.dashes(strip(0, 0.15), 1 - across, 4, line)
    town.parked(canvas, strip(half * 0.25, half * 0.25 + 2.1).inset(half), 1 - across, 0.05)


def zone_at(parameters: SceneParameters, x: float, y: float) -> str:
    """The kind of neighbourhood around a point of the net, a key of ZONES."""
    step = spacing(parameters)
    settled = _at(parameters, "settled", x / step, y / step, (4.0, 1.5))
    wooded = _at(parameters, "wooded", x / step, y / step, (3.0, 1.2))
    if parameters.is_coarse:
        return "city" if settled > 0.9 else "waste" if wooded > 0.0 else "oasis"
    if settled > 0.0:
        return "centre" if settled > 0.75 else "suburb"
    return "woods" if wooded > 0.35 else "farms"


def _at(parameters: SceneParameters, name: str, x: float, y: float, cells: tuple[float, ...]) -> float:
    return float(fractal(key_of(parameters.seed, name), np.array([y]), np.array([x]), cells)[0, 0])


def waterline(parameters: SceneParameters, y: Metres, x: Metres) -> Floats:
    """(len(y), len(x)) of how far above the nearest river the ground at (y, x) metres lies, about 1 per kilometre."""
    scale = 16.0 if parameters.is_coarse else 1.0
    key = key_of(parameters.seed, "rivers")
    return np.abs(fractal(key, y, x, (1700.0 * scale, 600.0 * scale, 210.0 * scale), 0.3))
