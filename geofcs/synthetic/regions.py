"""Painters of coarse worlds, as Landsat sees them: irrigated fields, desert, towns, reservoirs."""

from __future__ import annotations

from random import Random

from geofcs.synthetic.canvas import Box, Canvas, blob, row_of, subdivided
from geofcs.synthetic.change import Dates
from geofcs.synthetic.surfaces import Region, Surface, region, toned

FIELDS = ((70, 100, 56), (88, 114, 66), (112, 126, 78), (134, 132, 92), (150, 132, 104), (104, 104, 74))
SANDS = ((188, 164, 128), (176, 150, 116), (166, 146, 120), (196, 176, 144))
STREETS, WATERS = ((146, 138, 132), (132, 126, 122), (158, 148, 138)), ((46, 70, 84), (58, 88, 96), (72, 92, 88))


def _field(dice: Random) -> Surface:
    colour = toned(dice, dice.choice(FIELDS))
    later = toned(dice, dice.choice(FIELDS)) if dice.random() < 0.6 else colour
    return region(Region.FARMLAND, colour, later, 0.06, 0.05, living=0.5)


def _sand(dice: Random) -> Surface:
    colour = toned(dice, dice.choice(SANDS))
    return region(Region.DESERT, colour, colour, 0.07, 0.025)


def _built(dice: Random) -> Surface:
    colour = toned(dice, dice.choice(STREETS), 0.1)
    return region(Region.BUILDING, colour, colour, 0.1, 0.16)


def _wet(dice: Random) -> Surface:
    colour = toned(dice, dice.choice(WATERS))
    return region(Region.WATER, colour, colour, 0.05, 0.015)


def open_land(dice: Random, *, farmed: bool) -> Surface:
    """What lies between the lots of a quarter."""
    return _field(dice) if farmed else _sand(dice)


def fields(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A patchwork of fields; here and there one falls dry, is flooded or built upon."""
    canvas.paint(box, _field(dice), dates)
    for lot in subdivided(box, dice, dice.uniform(700, 1300), 25):
        for strip in row_of(lot, dice.choice((0, 1)), dice.choice((180.0, 300.0, 450.0))):
            canvas.paint(strip, _field(dice), dates)
            for when in canvas.fates(dice, dates):
                if when not in (Dates.BOTH, dates):
                    canvas.paint(strip, dice.choice((_sand, _sand, _built, _wet))(dice), when)
        if dice.random() < 0.15:
            _village(canvas, lot, dice, dates)


def _village(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    half = dice.uniform(90, 220)
    p, q = (box.p0 + box.p1) / 2, (box.q0 + box.q1) / 2
    for when in canvas.fates(dice, dates):
        spot = Box(p - half, q - half, p + half, q + half)
        canvas.shape(spot, blob(dice, half, half), _built(dice), when)


def desert(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Sand and gravel plains, paler and darker, with the odd irrigated plot."""
    canvas.paint(box, _sand(dice), dates)
    for lot in subdivided(box, dice, 1200, 0):
        half_p, half_q = (side * dice.uniform(0.3, 0.7) for side in lot.size)
        p, q = (lot.p0 + lot.p1) / 2, (lot.q0 + lot.q1) / 2
        spot = Box(max(p - half_p, box.p0), max(q - half_q, box.q0), min(p + half_p, box.p1), min(q + half_q, box.q1))
        canvas.shape(spot, blob(dice, half_p, half_q), _sand(dice), dates)
        for when in canvas.fates(dice, dates):
            if when not in (Dates.BOTH, dates):
                plot = lot.inset(min(lot.size) * dice.uniform(0.15, 0.35))
                canvas.paint(plot, dice.choice((_field, _field, _built, _wet))(dice), when)


def town(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Built-up blocks of differing density with a few gardens; its outskirts come and go."""
    canvas.paint(box, _field(dice), dates)
    for lot in subdivided(box, dice, 420, 30):
        if dice.random() < 0.1:
            continue
        for when in canvas.fates(dice, dates):
            canvas.paint(lot, _built(dice), when)


def reservoir(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A sheet of water with a pale shore; its level may differ."""
    canvas.paint(box, _sand(dice), dates)
    half_p, half_q = (side / 2 for side in box.size)
    for when in canvas.fates(dice, dates):
        share = dice.uniform(0.7, 1.0)
        canvas.shape(box, blob(dice, half_p * share, half_q * share), _wet(dice), when)
