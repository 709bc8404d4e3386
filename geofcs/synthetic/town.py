"""Painters of built-up land: houses, apartment blocks, industry, schools with their grounds, parks, building sites."""

from __future__ import annotations

from random import Random

from geofcs.synthetic import surfaces
from geofcs.synthetic.canvas import Box, Canvas, blob, rounded, row_of, subdivided
from geofcs.synthetic.change import Dates
from geofcs.synthetic.surfaces import Surface

TRACK_REDS = ((150, 86, 70), (164, 98, 80), (138, 82, 72))
TURF_GREENS = ((78, 112, 66), (90, 124, 76), (104, 118, 74))
COURTS = ((82, 108, 128), (88, 118, 92), (168, 128, 96), (140, 88, 76))


def houses(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Plots back to back between lanes, each with a garden, a house under a pitched roof, perhaps a drive."""
    canvas.paint(box, surfaces.road(dice), dates)
    for lot in subdivided(box, dice, 120, 6):
        _two_rows(canvas, lot, dice, dates)


def _two_rows(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    canvas.paint(box, surfaces.lawn(dice, 0.10), dates)
    kind, across = dice.choice(("tile", "tile", "dark")), 1 - box.long_axis
    rows = row_of(box, across, 27) if box.size[across] > 40 else [box]
    for number, row in enumerate(rows):
        for plot in row_of(row, box.long_axis, dice.uniform(14, 19)):
            _plot(canvas, plot, across, number % 2 == 1, kind, dice, dates)


def _plot(canvas: Canvas, plot: Box, across: int, far: bool, kind: str, dice: Random, dates: Dates) -> None:
    canvas.paint(plot.inset(0.4), surfaces.lawn(dice, dice.uniform(0.05, 0.3)), dates)
    depth, setback = plot.size[across], dice.uniform(3, 6)
    reach = min(depth - 2, setback + dice.uniform(8, 11))
    strip = plot.cut(across, depth - reach, depth - setback) if far else plot.cut(across, setback, reach)
    house = strip.cut(1 - across, dice.uniform(1, 2.5), plot.size[1 - across] - dice.uniform(1.5, 4.5))
    if dice.random() < 0.6:
        drive = plot.cut(1 - across, plot.size[1 - across] - 3.4, plot.size[1 - across] - 0.6)
        length = depth * 0.45
        canvas.paint(
            drive.cut(across, depth - length, depth) if far else drive.cut(across, 0, length),
            surfaces.pavement(dice), dates,
        )  # fmt: skip
    if dice.random() < 0.06:
        return
    for when in canvas.fates(dice, dates):
        _house(canvas, house, across, kind, dice, when)


def _house(canvas: Canvas, box: Box, across: int, kind: str, dice: Random, dates: Dates) -> None:
    look = surfaces.roof(dice, kind, dice.uniform(4, 6.5))
    grown = Box(box.p0, box.q0, box.p1 + dice.uniform(-1, 1), box.q1 + dice.uniform(-1, 1))
    if dice.random() < 0.35:
        wing = grown.cut(1 - across, 0, grown.size[1 - across] * 0.45)
        reach = grown.size[across] + 3.5
        canvas.roof(wing.cut(across, -2.5, reach - 3.5), look, 1.8, dates)
    canvas.roof(grown, look, dice.uniform(1.6, 2.8), dates)


def apartments(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Parallel slabs on lawns, paths and parked cars between them."""
    canvas.paint(box, surfaces.lawn(dice, 0.22), dates)
    axis, height = dice.choice((0, 0, 1)), dice.choice((12, 15, 18, 18, 22))
    spacing = 10 + height * dice.uniform(1.0, 1.4)
    kind, base = dice.choice(("flat", "flat", "tile")), surfaces.pavement(dice)
    for row in row_of(box.inset(3), 1 - axis, spacing):
        _yard(canvas, row, axis, dice, dates, base)
        for slab in row_of(row, axis, dice.uniform(34, 62)):
            if dice.random() < 0.07:
                court_yard(canvas, slab.inset(5), dice, dates)
                continue
            depth = row.size[1 - axis]
            body = slab.cut(1 - axis, depth * 0.3, depth * 0.3 + 11.5).cut(axis, 4, slab.size[axis] - 4)
            for when in canvas.fates(dice, dates):
                _slab(canvas, body, axis, surfaces.roof(dice, kind, height), kind, dice, when)


def _yard(canvas: Canvas, row: Box, axis: int, dice: Random, dates: Dates, base: Surface) -> None:
    """A lane along the slabs with cars on it."""
    depth = row.size[1 - axis]
    lane = row.cut(1 - axis, depth - 6, depth - 0.5)
    canvas.paint(lane, base, dates)
    parked(canvas, lane.cut(1 - axis, 0.3, 2.6), axis, 0.4, dates)
    if dice.random() < 0.5:
        canvas.paint(row.cut(axis, 0, 3), base, dates)


def _slab(canvas: Canvas, body: Box, axis: int, look: Surface, kind: str, dice: Random, dates: Dates) -> None:
    if kind == "tile":
        canvas.roof(body, look, 2.2, dates)
        return
    r, g, b = look.colour
    rim = 0.86 * r, 0.86 * g, 0.86 * b
    canvas.paint(body, look._replace(colour=rim, colour_later=rim, height=look.height + 0.8), dates)
    canvas.paint(body.inset(0.7), look, dates)
    head = look._replace(height=look.height + 3)
    for part in row_of(body, axis, 17):
        width, depth = part.size[axis], part.size[1 - axis]
        start = width * dice.uniform(0.3, 0.5)
        canvas.paint(part.cut(axis, start, start + 4.2).cut(1 - axis, depth * 0.25, depth * 0.25 + 5), head, dates)


def industry(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Halls on a concrete yard."""
    canvas.paint(box, surfaces.pavement(dice), dates)
    _verge(canvas, box, dice, dates)
    for lot in subdivided(box.inset(dice.uniform(8, 11)), dice, dice.uniform(55, 120), dice.uniform(7, 12)):
        if dice.random() < 0.12:
            canvas.paint(lot, surfaces.rough(dice), dates)
            continue
        for when in canvas.fates(dice, dates):
            _hall(canvas, lot, dice, when)
        parked(canvas, lot.cut(lot.long_axis, -4.5, -2), 1 - lot.long_axis, 0.25, dates)


def _hall(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A hall of one or more spans, with roof lights across or without."""
    look = surfaces.roof(dice, "hall", dice.uniform(7, 12))
    if dice.random() < 0.6:
        look = look._replace(
            row_spacing=dice.uniform(5, 9), row_axis=box.long_axis, row_strength=dice.uniform(0.03, 0.1)
        )
    spans = row_of(box, 1 - box.long_axis, dice.choice((24.0, 32.0, 60.0)))
    for span in spans:
        canvas.roof(span, look, dice.uniform(1.0, 2.2), dates)
    if dice.random() < 0.4:
        office = box.cut(box.long_axis, 0, dice.uniform(8, 14))
        canvas.paint(office, surfaces.roof(dice, "flat", 9), dates)


def _verge(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A strip of grass and trees around a lot, open in places."""
    green = surfaces.lawn(dice, 0.35)
    for axis in (0, 1):
        length = box.size[1 - axis]
        canvas.paint(box.cut(1 - axis, 0, 3).cut(axis, 0, box.size[axis] * dice.uniform(0.4, 1)), green, dates)
        canvas.paint(
            box.cut(1 - axis, length - 3, length).cut(axis, box.size[axis] * dice.uniform(0, 0.6), box.size[axis]),
            green,
            dates,
        )


def parked(canvas: Canvas, strip: Box, axis: int, share: float, dates: Dates = Dates.BOTH) -> None:
    """Cars in line along an axis, on paved ground only; they stand elsewhere at the second date."""
    dice = canvas.traffic
    for date in (Dates.FIRST, Dates.SECOND):
        for bay in row_of(strip, axis, 5.4):
            if dice.random() < share * canvas.cars and date & dates:
                body = bay.cut(axis, 0.5, 4.9).cut(1 - axis, 0.1, 2.0)
                canvas.park(body, surfaces.car(dice), date)


def school(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """A running track, courts, and buildings at an end."""
    canvas.paint(box, surfaces.pavement(dice), dates)
    _verge(canvas, box, dice, dates)
    axis = box.long_axis
    length, width = box.size[axis], box.size[1 - axis]
    reach = min(length * 0.66, width * 1.9)
    field = box.cut(axis, 0, reach).cut(1 - axis, 0, min(width, max(reach * 0.55, 42))).inset(5)
    for when in canvas.fates(dice, dates):
        running_track(canvas, field, dice, when)
    rest = box.cut(axis, reach, length).inset(3)
    if min(rest.size) < 15:
        return
    half = rest.size[1 - axis] * dice.uniform(0.4, 0.55)
    court_yard(canvas, rest.cut(1 - axis, 0, half), dice, dates)
    wing = rest.cut(1 - axis, half, rest.size[1 - axis])
    look = surfaces.roof(dice, "flat", dice.uniform(10, 15))
    for when in canvas.fates(dice, dates):
        canvas.paint(wing.cut(axis, 2, min(14, wing.size[axis])), look, when)
        canvas.paint(wing.cut(1 - axis, 0, min(12, half)), look, when)


def running_track(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """An oval of red lanes around a green pitch with its lines."""
    half_p, half_q = (side / 2 for side in box.size)
    radius = min(half_p, half_q)
    if radius < 12:
        canvas.paint(box, surfaces.turf(surfaces.toned(dice, dice.choice(COURTS))), dates)
        return
    red, green = dice.choice(TRACK_REDS), dice.choice(TURF_GREENS)
    lanes = min(9.0, radius * 0.22)
    canvas.shape(box, rounded(half_p, half_q, radius), surfaces.turf(surfaces.toned(dice, red)), dates)
    canvas.shape(
        box, rounded(half_p - lanes, half_q - lanes, radius - lanes), surfaces.turf(surfaces.toned(dice, green)), dates
    )
    _pitch_lines(canvas, box.inset(lanes + radius * 0.2), dates)


def _pitch_lines(canvas: Canvas, pitch: Box, dates: Dates) -> None:
    white, axis = surfaces.turf((168, 178, 160)), pitch.long_axis
    length, width = pitch.size[axis], pitch.size[1 - axis]
    for start in (0.0, length / 2, length):
        canvas.paint(pitch.cut(axis, start - 0.2, start + 0.2), white, dates)
    for start in (0.0, width):
        canvas.paint(pitch.cut(1 - axis, start - 0.2, start + 0.2), white, dates)


def court_yard(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Ball courts in a row."""
    colour = dice.choice(COURTS)
    for court in row_of(box, box.long_axis, dice.uniform(17, 20)):
        if min(court.size) < 8:
            continue
        for when in canvas.fates(dice, dates):
            canvas.paint(court.inset(1.5), surfaces.turf(surfaces.toned(dice, (176, 176, 168))), when)
            canvas.paint(court.inset(1.9), surfaces.turf(surfaces.toned(dice, colour)), when)


def park(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Grass with groups of trees, paths, and perhaps a pond or a court."""
    canvas.paint(box, surfaces.lawn(dice, dice.uniform(0.1, 0.3)), dates)
    for lot in subdivided(box, dice, 45, 3):
        half_p, half_q = (side / 2 for side in lot.size)
        roll = dice.random()
        if roll < 0.45:
            grove = surfaces.lawn(dice, dice.uniform(0.7, 0.95))
            canvas.shape(lot, blob(dice, half_p, half_q), grove, dates)
        elif roll < 0.6:
            for when in canvas.fates(dice, dates):
                canvas.shape(lot, blob(dice, half_p, half_q), surfaces.water(dice), when)
        elif roll < 0.7:
            court_yard(canvas, lot.inset(4), dice, dates)
    path, axis = surfaces.pavement(dice), box.long_axis
    middle = box.size[axis] * dice.uniform(0.35, 0.65)
    canvas.paint(box.cut(axis, middle - 1.5, middle + 1.5), path, dates)
    middle = box.size[1 - axis] * dice.uniform(0.35, 0.65)
    canvas.paint(box.cut(1 - axis, middle - 1.5, middle + 1.5), path, dates)


def construction(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Opened ground with heaps, tracks, site huts and a first shell."""
    base = surfaces.soil(dice)
    canvas.paint(box, base, dates)
    for _ in range(dice.randint(2, 6)):
        _patch(canvas, box, dice, surfaces.soil(dice), dates)
    axis = dice.choice((0, 1))
    start = box.size[1 - axis] * dice.uniform(0.2, 0.7)
    canvas.paint(box.cut(1 - axis, start, start + 5), surfaces.road(dice, paved=False), dates)
    hut = box.inset(4).cut(axis, 0, dice.uniform(12, 25)).cut(1 - axis, 0, 5)
    canvas.roof(hut, surfaces.roof(dice, "hall", 3), 0.6, dates)
    if dice.random() < 0.5:
        shell = box.inset(box.size[0] * 0.25).cut(axis, 0, 30).cut(1 - axis, 0, 13)
        if min(shell.size) > 8:
            canvas.paint(shell, surfaces.roof(dice, "flat", dice.uniform(3, 9)), dates)


def _patch(canvas: Canvas, box: Box, dice: Random, surface: Surface, dates: Dates) -> None:
    """An irregular spot somewhere in the box."""
    half = min(box.size) * dice.uniform(0.1, 0.35)
    p, q = dice.uniform(box.p0 + half, box.p1 - half), dice.uniform(box.q0 + half, box.q1 - half)
    half_p, half_q = half * dice.uniform(0.5, 1), half * dice.uniform(0.5, 1)
    canvas.shape(Box(p - half_p, q - half_q, p + half_p, q + half_q), blob(dice, half_p, half_q), surface, dates)


def wasteland(canvas: Canvas, box: Box, dice: Random, dates: Dates) -> None:
    """Cleared or idle ground: soil that weeds take back in patches, and tracks of vehicles."""
    canvas.paint(box, surfaces.soil(dice), dates)
    for _ in range(dice.randint(3, 8)):
        _patch(canvas, box, dice, surfaces.rough(dice, 0.03), dates)
    for _ in range(dice.randint(1, 3)):
        _patch(canvas, box, dice, surfaces.soil(dice), dates)
    axis = dice.choice((0, 1))
    start = box.size[1 - axis] * dice.uniform(0.2, 0.7)
    canvas.paint(box.cut(1 - axis, start, start + 3.5), surfaces.road(dice, paved=False), dates)
