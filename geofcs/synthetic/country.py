"""Painters of open land: farmland, woodland, meadows, fish ponds."""

from __future__ import annotations

from random import Random

from geofcs.synthetic import surfaces
from geofcs.synthetic.canvas import Box, Canvas, rounded, row_of, subdivided
from geofcs.synthetic.change import Dates


def farmland(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Fields in strips between tracks and hedges, here and there a farmstead."""
    hedge = surfaces.rough(dice, dice.choice((0.03, 0.1, 0.6)))
    canvas.paint(box, hedge, dates)
    axis = dice.choice((0, 1))
    for lot in subdivided(box, dice, dice.uniform(70, 130), 2.5):
        for field in row_of(lot, axis, dice.choice((18.0, 30.0, 60.0))):
            shrunk = field.inset(dice.choice((0.3, 0.5, 1.0)))
            canvas.paint(shrunk, surfaces.crop(dice, axis), dates)
            _field_fate(canvas, shrunk, dice, dates)
        if dice.random() < 0.06:
            farmstead(canvas, lot.inset(3), dice, dates)


def _field_fate(canvas: Canvas, field: Box, dice: Random, dates: Dates) -> None:
    """Now and then a field is stripped, planted with trees, or was so before."""
    for when in canvas.fates(dice, dates):
        if when in (Dates.BOTH, dates):
            continue
        kind = dice.random()
        if kind < 0.5:
            canvas.paint(field, surfaces.soil(dice), when)
        elif kind < 0.8:
            canvas.paint(field, surfaces.woodland(dice), when)
        else:
            half_p, half_q = (side / 2 for side in field.size)
            canvas.shape(field, rounded(half_p, half_q, min(half_p, half_q, 5)), surfaces.water(dice), when)


def farmstead(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A yard with a house and barns, trees around."""
    size = [min(side, dice.uniform(38, 52)) for side in box.size]
    yard = Box(box.p0, box.q0, box.p0 + size[0], box.q0 + size[1])
    for when in canvas.fates(dice, dates):
        canvas.paint(yard, surfaces.lawn(dice, 0.4), when)
        canvas.paint(yard.inset(5), surfaces.road(dice, paved=False), when)
        for barn in row_of(yard.inset(6), dice.choice((0, 1)), 18)[:2]:
            axis = barn.long_axis
            body = barn.cut(axis, 0, min(barn.size[axis], dice.uniform(16, 26))).cut(
                1 - axis, 1, min(barn.size[1 - axis], 12)
            )
            canvas.roof(body, surfaces.roof(dice, dice.choice(("tile", "dark", "hall")), 5), 2.5, when)


def woodland(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A wood planted or left standing over the whole lot."""
    canvas.paint(box, surfaces.rough(dice, 0.1), dates)
    canvas.paint(box.inset(1), surfaces.woodland(dice), dates)


def meadow(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Rough grass where woods grow as they like."""
    wild = dates == Dates.BOTH
    canvas.paint(box, surfaces.rough(dice, 0.02, wild=wild), dates)


def fishponds(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Basins between dikes."""
    canvas.paint(box, surfaces.rough(dice, 0.04), dates)
    axis = dice.choice((0, 1))
    for lot in subdivided(box.inset(2), dice, 90, 6):
        for basin in row_of(lot, axis, dice.uniform(32, 50)):
            half_p, half_q = basin.size[0] / 2 - 2, basin.size[1] / 2 - 2
            if min(half_p, half_q) < 4:
                continue
            for when in canvas.fates(dice, dates):
                canvas.shape(basin, rounded(half_p, half_q, 4), surfaces.water(dice), when)
