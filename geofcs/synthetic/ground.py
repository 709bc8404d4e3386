"""What lies at each pixel at either date: which thing, which land cover, how high."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.synthetic import surfaces
from geofcs.synthetic.canopy import Canopy, canopy_of
from geofcs.synthetic.layout import Plan, quarters_within
from geofcs.synthetic.noise import Floats, Metres, fractal, key_of, smooth
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.surfaces import Cover, Region, Surface
from geofcs.synthetic.terrain import SHORE, turn, waterline
from geofcs.synthetic.window import Window

Indices = npt.NDArray[np.intp]

RIVER, BANK, WOOD = 0, 1, 2
"""Numbers of the things that belong to no quarter."""

BEND = 9.0
"""Metres by which straight lines of the net stray, to one standard deviation."""

MOST_BEND = 4 * BEND


@dataclass(frozen=True)
class Land:
    """(height, width) arrays of one date: the thing at a pixel, its land cover, metres above ground, tree or not."""

    thing: Indices
    cover: npt.NDArray[np.uint8]
    height: Floats
    is_tree: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ground:
    """Both dates of a window; `p` and `q` are metres in the axes of the quarter a pixel lies in.

    `table` has one array per field of `Surface`, indexed by the thing; `canopy` is the window of trees, None in coarse
    worlds.
    """

    p: Floats
    q: Floats
    lands: tuple[Land, Land]
    table: dict[str, npt.NDArray[Any]]
    canopy: Canopy | None


def ground_of(parameters: SceneParameters, window: Window) -> Ground:
    """Everything that stands or lies in a window of sampling points."""
    margin = 0 if parameters.is_coarse else canopy_of(parameters.fine_gsd).reach
    wide = window.grown(margin, margin, margin)
    p, q, plans, things = _located(parameters, wide)
    table = _table([*_wild_things(parameters), *(surface for plan in plans for surface in plan.surfaces)])
    y, x = wide.ground(parameters.fine_gsd)
    _flood(parameters, things, table, y, x)
    inner = window.within(wide)
    if parameters.is_coarse:
        lands = tuple(_bare_land(thing, table) for thing in things)
        return Ground(p, q, (lands[0], lands[1]), table, None)
    _overgrow(parameters, things, table, y, x)
    shift = Random(key_of(parameters.seed, "trees"))
    canopy = canopy_of(parameters.fine_gsd).window(
        wide.row + margin + shift.randrange(4096),
        wide.col + margin + shift.randrange(4096),
        window.height,
        window.width,
    )
    p, q = p[inner], q[inner]
    first, second = (_wooded_land(thing, table, p, q, inner, canopy) for thing in things)
    return Ground(p, q, (first, second), table, canopy)


def _wild_things(parameters: SceneParameters) -> list[Surface]:
    dice = Random(key_of(parameters.seed, "wild"))
    if parameters.is_coarse:
        colour, sand = surfaces.toned(dice, (58, 80, 88)), surfaces.toned(dice, (168, 152, 124))
        return [
            surfaces.region(Region.WATER, colour, colour, 0.05, 0.015),
            surfaces.region(Region.DESERT, sand, sand, 0.07, 0.03),
            surfaces.region(Region.DESERT, sand, sand, 0.07, 0.03),
        ]
    return [surfaces.water(dice), surfaces.soil(dice), surfaces.woodland(dice)]


def _table(things: list[Surface]) -> dict[str, npt.NDArray[Any]]:
    """A column per field of `Surface`; colours are (n, 3)."""
    columns = dict(zip(Surface._fields, zip(*things, strict=True), strict=True))
    whole = {"cover": np.uint8, "axis": np.bool_, "row_axis": np.bool_, "wild": np.bool_, "bridges": np.bool_}
    return {name: np.array(values, whole.get(name, np.float32)) for name, values in columns.items()}


def _located(parameters: SceneParameters, window: Window) -> tuple[Floats, Floats, list[Plan], tuple[Indices, Indices]]:
    """Local axes p and q of each pixel, the quarters met, and the things at both dates."""
    net_x, net_y = _bent(parameters, *window.ground(parameters.fine_gsd))
    plans = quarters_within(parameters, net_x.min(), net_y.min(), net_x.max(), net_y.max())
    shape = window.height, window.width
    p, q = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    things = np.zeros(shape, np.intp), np.zeros(shape, np.intp)
    first = len(_wild_things(parameters))
    for plan in plans:
        _enter(plan, first, _around(parameters, plan, window), net_x, net_y, p, q, things)
        first += len(plan.surfaces)
    return p, q, plans, things


def _bend_scale(parameters: SceneParameters) -> int:
    """How much wider the bends of a coarse world are."""
    return 16 if parameters.is_coarse else 1


def _bent(parameters: SceneParameters, y: Metres, x: Metres) -> tuple[Metres, Metres]:
    """Coordinates of the net (x, y), in which roads are straight: turned, and bent a little."""
    cosine, sine = turn(parameters)
    scale = _bend_scale(parameters)
    bend = [
        np.clip(smooth(key_of(parameters.seed, "bend", axis), y, x, 420.0 * scale) * BEND, -MOST_BEND, MOST_BEND)
        * scale
        for axis in (0, 1)
    ]
    net_x = (cosine * x)[None, :] + (sine * y)[:, None] + bend[0]
    net_y = (-sine * x)[None, :] + (cosine * y)[:, None] + bend[1]
    return net_x, net_y


def _enter(
    plan: Plan,
    first: int,
    where: tuple[slice, slice],
    net_x: Metres,
    net_y: Metres,
    p: Floats,
    q: Floats,
    things: tuple[Indices, Indices],
) -> None:
    """Fill in the pixels that lie in one quarter, looked for in `where`; its surfaces are numbered from `first` on."""
    x = (net_x[where] - plan.origin[0]).astype(np.float32)
    y = (net_y[where] - plan.origin[1]).astype(np.float32)
    m = plan.to_plan.astype(np.float32)
    across = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    with np.errstate(divide="ignore", invalid="ignore"):  # far outside, on the line that the map sends to infinity
        s, t = (m[0, 0] * x + m[0, 1] * y) / across, (m[1, 0] * x + m[1, 1] * y) / across
    slack = np.float32(1e-5)
    inside = (s >= -slack) & (s <= 1 + slack) & (t >= -slack) & (t <= 1 + slack)
    s, t = s[inside], t[inside]
    rows, cols = plan.before.shape
    cells = _cell(t, rows) * cols + _cell(s, cols)
    p[where][inside], q[where][inside] = s * np.float32(plan.size[0]), t * np.float32(plan.size[1])
    for thing, raster in zip(things, (plan.before, plan.after), strict=True):
        thing[where][inside] = raster.ravel().take(cells).astype(np.intp) + first


def _cell(share: Floats, count: int) -> Indices:
    cells: Indices = np.clip((share * np.float32(count)).astype(np.intp), 0, count - 1)
    return cells


def _around(parameters: SceneParameters, plan: Plan, window: Window) -> tuple[slice, slice]:
    """The rows and columns of a window that a quarter may reach."""
    cosine, sine = turn(parameters)
    left, top, right, bottom = plan.bounds
    corners = [(x, y) for x in (left, right) for y in (top, bottom)]
    slack = 2 * MOST_BEND * _bend_scale(parameters)
    spans = []
    for along, start, length in (
        ([sine * x + cosine * y for x, y in corners], window.row, window.height),
        ([cosine * x - sine * y for x, y in corners], window.col, window.width),
    ):
        first = math.floor((min(along) - slack) / parameters.fine_gsd) - start
        stop = math.ceil((max(along) + slack) / parameters.fine_gsd) - start
        spans.append(slice(min(max(first, 0), length), min(max(stop, 0), length)))
    return spans[0], spans[1]


def _flood(
    parameters: SceneParameters,
    things: tuple[Indices, Indices],
    table: dict[str, npt.NDArray[Any]],
    y: Metres,
    x: Metres,
) -> None:
    """Rivers cover everything but bridges; here and there they are wider at the second date."""
    above = waterline(parameters, y, x)
    if above.min() > SHORE + 0.3:
        return
    scale = 16 if parameters.is_coarse else 1
    swell = smooth(key_of(parameters.seed, "swell"), y, x, 900.0 * scale)
    rise = np.float32(0.03 * min(parameters.change, 3.0)) * np.clip(swell - np.float32(0.6), 0, 2)
    for thing, level in zip(things, (np.float32(SHORE), SHORE + rise), strict=True):
        open_air = ~table["bridges"][thing]
        thing[(above < level + np.float32(0.008)) & open_air] = BANK
        thing[(above < level) & open_air] = RIVER


def _overgrow(
    parameters: SceneParameters,
    things: tuple[Indices, Indices],
    table: dict[str, npt.NDArray[Any]],
    y: Metres,
    x: Metres,
) -> None:
    """Woods on wild land, with edges of their own."""
    wild = [table["wild"][thing] for thing in things]
    if not (wild[0].any() or wild[1].any()):
        return
    woods = fractal(key_of(parameters.seed, "woods"), y, x, (260.0, 90.0, 30.0), 0.5) > np.float32(0.1)
    for thing, here in zip(things, wild, strict=True):
        thing[here & woods] = WOOD


def _bare_land(thing: Indices, table: dict[str, npt.NDArray[Any]]) -> Land:
    flat = np.zeros(thing.shape, np.float32)
    return Land(thing, table["cover"][thing], flat, flat > 0)


def _wooded_land(
    thing: Indices, table: dict[str, npt.NDArray[Any]], p: Floats, q: Floats, inner: tuple[slice, slice], canopy: Canopy
) -> Land:
    """Roofs, and the trees whose own middle stands on land that bears them."""
    width = thing.shape[1]
    rows, cols = np.arange(*inner[0].indices(thing.shape[0])), np.arange(*inner[1].indices(width))
    roots = rows[:, None] * width + cols[None, :] + canopy.down.astype(np.intp) * width + canopy.right
    bearing = table["trees"][thing.ravel().take(roots)]
    thing = thing[inner]
    cover, height = table["cover"][thing], table["height"][thing]
    _raise_roofs(height, thing, cover, table, p, q)
    is_tree = (canopy.rank < bearing) & (canopy.height > 0) & (cover != Cover.BUILDING)
    cover[is_tree] = Cover.TREE
    np.maximum(height, canopy.height, out=height, where=is_tree)
    return Land(thing, cover, height, is_tree)


def _raise_roofs(
    height: Floats,
    thing: Indices,
    cover: npt.NDArray[np.uint8],
    table: dict[str, npt.NDArray[Any]],
    p: Floats,
    q: Floats,
) -> None:
    """Pitched roofs rise towards their ridge."""
    roofs = np.flatnonzero(cover == Cover.BUILDING)
    kind = thing.ravel()[roofs]
    along = np.where(table["axis"][kind], q.ravel()[roofs], p.ravel()[roofs])
    away = np.abs(along - table["centre"][kind]) / table["half"][kind]
    height.reshape(-1)[roofs] += table["rise"][kind] * np.maximum(1 - away, 0)
