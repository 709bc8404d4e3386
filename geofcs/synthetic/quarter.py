"""What a quarter holds: a kind of neighbourhood, lots with their uses at either date, roads around."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from geofcs.synthetic import country, regions, surfaces, town
from geofcs.synthetic.canvas import Box, Canvas, subdivided
from geofcs.synthetic.change import Dates, future_of
from geofcs.synthetic.noise import key_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.roads import edges_of, middle_of, paint_road, road_along
from geofcs.synthetic.surfaces import Surface
from geofcs.synthetic.terrain import SHORE, Point, heights_above_water, zone_names

Paint = Callable[[Canvas, Box, Random, Dates], None]

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
        {"houses": 7, "apartments": 2, "industry": 3, "school": 1.3, "farmland": 2, "park": 1, "wasteland": 1.5},
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


def paint_quarter(parameters: SceneParameters, canvas: Canvas, row: int, col: int, corners: list[Point]) -> None:
    """Lots inside, each used for something at either date, and roads along the edges.

    `corners` are the quarter's in the net: top left, top right, bottom left, bottom right.
    """
    dice = Random(key_of(parameters.seed, "quarter", row, col))
    edges = edges_of(row, col)
    own, *beside = (
        ZONES[name]
        for name in zone_names(parameters, [_at(corners, 0.5, 0.5), *(middle_of(parameters, edge) for edge in edges)])
    )
    roads = [road_along(parameters, edge, zone.road, zone.paved) for edge, zone in zip(edges, beside, strict=True)]
    left, top, right, bottom = (road.width / 2 + road.verge for road in roads)
    canvas.paint(Box(0, 0, *canvas.size), _between_lots(parameters, own, dice))
    inner = Box(left, top, canvas.size[0] - right, canvas.size[1] - bottom)
    lots = subdivided(inner, dice, dice.uniform(*own.lot), own.lane)
    for lot, wet in zip(lots, _wet(parameters, canvas, lots, corners), strict=True):
        _paint_lot(parameters, canvas, own, lot, wet, dice)
    for side, road in sorted(enumerate(roads), key=lambda each: each[1].main):
        paint_road(canvas, side, road)


def _at(corners: list[Point], s: float, t: float) -> Point:
    """The point of a quarter at shares s and t of its sides."""
    x, y = ((1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * c + s * d) for a, b, c, d in zip(*corners, strict=True))
    return x, y


def _wet(parameters: SceneParameters, canvas: Canvas, lots: list[Box], corners: list[Point]) -> list[bool]:
    """Whether a river comes near each lot."""
    p, q = canvas.size
    middles = [_at(corners, (lot.p0 + lot.p1) / 2 / p, (lot.q0 + lot.q1) / 2 / q) for lot in lots]
    per_metre = 0.000045 if parameters.is_coarse else 0.0007
    return [
        height < SHORE + math.hypot(*lot.size) * per_metre
        for lot, height in zip(lots, heights_above_water(parameters, middles), strict=True)
    ]


def _between_lots(parameters: SceneParameters, zone: Zone, dice: Random) -> Surface:
    if parameters.is_coarse:
        return regions.open_land(dice, farmed=zone.lane > 0)
    if zone.paved:
        return surfaces.road(dice)
    return surfaces.rough(dice, 0.2) if dice.random() < 0.5 else surfaces.road(dice, paved=False)


def _paint_lot(parameters: SceneParameters, canvas: Canvas, zone: Zone, lot: Box, wet: bool, dice: Random) -> None:
    use = dice.choices(list(zone.uses), list(zone.uses.values()))[0]
    own, others = Random(dice.getrandbits(64)), Random(dice.getrandbits(64))
    later = future_of(use, dice, parameters.change)
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
