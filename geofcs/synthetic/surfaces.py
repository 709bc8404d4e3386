"""What the ground, roofs and crops look like: a `Surface` per thing, its colour drawn from a muted palette."""

from __future__ import annotations

from enum import IntEnum
from random import Random
from typing import NamedTuple

Colour = tuple[float, float, float]


class Cover(IntEnum):
    """Ids of the classes of SECOND, which worlds of houses and trees are made of."""

    LOW_VEGETATION = 1
    GROUND = 2
    TREE = 3
    WATER = 4
    BUILDING = 5
    PLAYGROUND = 6


class Region(IntEnum):
    """Ids of the classes of Landsat-SCD, which coarse worlds are made of."""

    FARMLAND = 1
    DESERT = 2
    BUILDING = 3
    WATER = 4


class Surface(NamedTuple):
    """One thing seen from above. Colours are RGB 0-255 of a clear summer noon; lengths are metres.

    `colour_later` is what it has become by the second date without being another thing (a crop). `mottle` and `grain`
    are the relative strengths of coarse and of fine texture. A roof rises by `rise` from its eaves at `height` to a
    ridge at `centre`, `half` away from the eaves, across local axis `axis` (0: p, 1: q). Rows of plants or of panels
    are `row_spacing` apart across `row_axis`. `trees` is the share of possible trees that stand on it, `living` how
    much the season colours it. On `wild` land woods grow where they like; `bridges` cross water.
    """

    cover: int
    colour: Colour
    colour_later: Colour
    mottle: float = 0.08
    grain: float = 0.05
    height: float = 0.0
    rise: float = 0.0
    axis: int = 0
    centre: float = 0.0
    half: float = 1.0
    row_spacing: float = 0.0
    row_axis: int = 0
    row_strength: float = 0.0
    trees: float = 0.0
    living: float = 0.0
    wild: bool = False
    bridges: bool = False


def toned(dice: Random, colour: Colour, spread: float = 0.06) -> Colour:
    """The colour, a little lighter or darker and a little warmer or colder."""
    light, warm = 1 + spread * dice.uniform(-1.5, 1.5), spread * dice.uniform(-0.4, 0.4)
    r, g, b = colour
    return r * light * (1 + warm), g * light, b * light * (1 - warm)


def _plain(cover: int, colour: Colour, mottle: float, grain: float) -> Surface:
    return Surface(cover, colour, colour, mottle, grain)


ASPHALT, WORN_ASPHALT, CONCRETE = (112, 111, 108), (138, 136, 130), (172, 168, 158)
SOILS = ((158, 137, 110), (146, 117, 92), (172, 154, 126), (130, 112, 92))
LAWNS = ((92, 108, 66), (104, 116, 74), (84, 102, 62))
ROUGHS = ((118, 116, 80), (106, 110, 74), (128, 122, 90))
CROPS = ((78, 98, 56), (96, 114, 66), (112, 122, 74), (134, 136, 88), (170, 154, 110), (122, 110, 78), (126, 104, 82))
ROOFS = {
    "tile": ((142, 96, 78), (126, 100, 84), (150, 112, 92), (112, 88, 78)),
    "dark": ((88, 89, 93), (104, 103, 104), (120, 112, 104)),
    "flat": ((150, 147, 142), (172, 169, 162), (132, 130, 128), (160, 150, 136), (188, 184, 176)),
    "hall": ((196, 199, 198), (216, 218, 216), (118, 134, 156), (172, 176, 178), (152, 160, 152), (168, 158, 144)),
}
WATERS = ((62, 78, 78), (72, 88, 80), (84, 90, 74), (58, 70, 78))


def road(dice: Random, *, paved: bool = True, bridges: bool = False) -> Surface:
    """Asphalt of some age, or a dirt road."""
    if not paved:
        return _plain(Cover.GROUND, toned(dice, (160, 144, 118)), 0.10, 0.06)
    colour = toned(dice, dice.choice((ASPHALT, WORN_ASPHALT, WORN_ASPHALT)))
    return _plain(Cover.GROUND, colour, 0.04, 0.035)._replace(bridges=bridges)


def marking(*, bridges: bool = False) -> Surface:
    """Paint on a road."""
    return _plain(Cover.GROUND, (186, 184, 176), 0.05, 0.04)._replace(bridges=bridges)


def pavement(dice: Random) -> Surface:
    """Concrete or paving stones of yards, paths and car parks."""
    return _plain(Cover.GROUND, toned(dice, CONCRETE), 0.035, 0.045)


def soil(dice: Random) -> Surface:
    """Bare ground."""
    return _plain(Cover.GROUND, toned(dice, dice.choice(SOILS)), 0.11, 0.08)


def lawn(dice: Random, trees: float) -> Surface:
    """Mown grass with some trees."""
    colour = toned(dice, dice.choice(LAWNS))
    return Surface(Cover.LOW_VEGETATION, colour, colour, 0.08, 0.08, trees=trees, living=0.8)


def rough(dice: Random, trees: float = 0.02, *, wild: bool = False) -> Surface:
    """Meadow, weeds, scrub."""
    colour = toned(dice, dice.choice(ROUGHS))
    return Surface(Cover.LOW_VEGETATION, colour, colour, 0.12, 0.13, trees=trees, living=0.8, wild=wild)


def crop(dice: Random, axis: int) -> Surface:
    """A field in rows along the other axis than `axis`, which may bear another crop at the second date."""
    colour = toned(dice, dice.choice(CROPS))
    later = toned(dice, dice.choice(CROPS)) if dice.random() < 0.6 else colour
    return Surface(
        Cover.LOW_VEGETATION, colour, later, dice.uniform(0.05, 0.13), 0.05, trees=0.002, living=0.5,
        row_spacing=dice.choice((1.8, 2.4, 3.2, 6.0)), row_axis=axis, row_strength=dice.uniform(0.02, 0.12),
    )  # fmt: skip


def woodland(dice: Random) -> Surface:
    """The floor of a wood, dark between the crowns."""
    colour = toned(dice, (58, 66, 44))
    return Surface(Cover.TREE, colour, colour, 0.14, 0.12, height=1.0, trees=0.96, living=0.6)


def water(dice: Random) -> Surface:
    """A pond or a basin."""
    colour = toned(dice, dice.choice(WATERS))
    return _plain(Cover.WATER, colour, 0.035, 0.02)


def roof(dice: Random, kind: str, height: float) -> Surface:
    """A flat roof; `kind` is a key of ROOFS."""
    return _plain(Cover.BUILDING, toned(dice, dice.choice(ROOFS[kind])), 0.02, 0.03)._replace(height=height)


def turf(colour: Colour) -> Surface:
    """The even surface of a sports ground."""
    return _plain(Cover.PLAYGROUND, colour, 0.04, 0.03)


def car(dice: Random) -> Surface:
    """A car; it is no land cover of its own but stands on the ground."""
    colour = dice.choice(
        ((210, 210, 208), (60, 62, 66), (150, 152, 154), (120, 52, 46), (58, 70, 104), (226, 226, 222))
    )
    return _plain(Cover.GROUND, colour, 0.0, 0.05)._replace(height=1.5)


def region(cover: Region, colour: Colour, later: Colour, mottle: float, grain: float, living: float = 0.0) -> Surface:
    """Land as seen from far away."""
    return Surface(cover, colour, later, mottle, grain, living=living)
