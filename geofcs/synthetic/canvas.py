"""The plan of one quarter: a small raster in the quarter's own axes, at both dates, that things are painted into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.change import Dates, fate
from geofcs.synthetic.surfaces import Surface

Mask = npt.NDArray[np.bool_]
Lengths = npt.NDArray[np.float64]


class Box(NamedTuple):
    """A rectangle in the quarter's axes p and q, metres."""

    p0: float
    q0: float
    p1: float
    q1: float

    @property
    def size(self) -> tuple[float, float]:
        """Lengths along p and q."""
        return self.p1 - self.p0, self.q1 - self.q0

    @property
    def long_axis(self) -> int:
        """0 where p is the longer side, else 1."""
        return int(self.q1 - self.q0 > self.p1 - self.p0)

    def inset(self, margin: float) -> Box:
        """Smaller on all sides."""
        return Box(self.p0 + margin, self.q0 + margin, self.p1 - margin, self.q1 - margin)

    def cut(self, axis: int, start: float, stop: float) -> Box:
        """The part from `start` to `stop` metres along an axis, counted from the box's own beginning."""
        if axis == 0:
            return Box(self.p0 + start, self.q0, self.p0 + stop, self.q1)
        return Box(self.p0, self.q0 + start, self.p1, self.q0 + stop)


@dataclass
class Canvas:
    """Two plans of a quarter of `size` metres (p, q) in cells of `cell` metres; values are indices into `surfaces`.

    `strength` is how much changes. `traffic` moves cars, and nothing else, so that the world is the same without them.
    """

    size: tuple[float, float]
    cell: float
    strength: float
    traffic: Random
    cars: float

    def __post_init__(self) -> None:
        p, q = (max(1, round(length / self.cell)) for length in self.size)
        self.before = np.zeros((q, p), np.uint16)
        self.after = np.zeros((q, p), np.uint16)
        self.surfaces: list[Surface] = []
        self.covers = bytearray()

    def fates(self, dice: Random, dates: Dates) -> tuple[Dates, ...]:
        """When a thing is there on land that is used like this at `dates`."""
        return fate(dice, self.strength) if dates == Dates.BOTH else (dates,)

    def paint(self, box: Box, surface: Surface, dates: Dates = Dates.BOTH) -> None:
        """A rectangle."""
        number, where = self._add(surface), self._cells(box)
        for plan in self._plans(dates):
            plan[where] = number

    def shape(self, box: Box, inside: Callable[[Lengths, Lengths], Mask], surface: Surface, dates: Dates) -> None:
        """Whatever part of the box `inside` says, given q (n, 1) and p (1, m) in metres from the box's middle."""
        number, (rows, cols) = self._add(surface), self._cells(box)
        q = (np.arange(rows.start, rows.stop) + 0.5) * self.cell - (box.q0 + box.q1) / 2
        p = (np.arange(cols.start, cols.stop) + 0.5) * self.cell - (box.p0 + box.p1) / 2
        mask = inside(q[:, None], p[None, :])
        for plan in self._plans(dates):
            plan[rows, cols][mask] = number

    def dashes(self, box: Box, axis: int, length: float, surface: Surface) -> None:
        """A broken line along an axis."""

        def on(q: Lengths, p: Lengths) -> Mask:
            along = p if axis == 0 else q
            return np.broadcast_to(np.floor(along / length) % 2 == 0, (len(q), p.shape[1]))

        self.shape(box, on, surface, Dates.BOTH)

    def park(self, box: Box, car: Surface, date: Dates) -> None:
        """A car, as far as the ground under it has the same cover: where it stands or not is no change."""
        covers, where = np.frombuffer(bytes(self.covers), np.uint8), self._cells(box)
        number = self._add(car)
        for plan in self._plans(date):
            plan[where][covers[plan[where]] == car.cover] = number

    def roof(self, box: Box, surface: Surface, rise: float, dates: Dates) -> None:
        """A building whose ridge, `rise` metres above its eaves, runs along the longer side."""
        across = 1 - box.long_axis
        low, high = (box.p0, box.p1) if across == 0 else (box.q0, box.q1)
        ridge = surface._replace(rise=rise, axis=across, centre=(low + high) / 2, half=max((high - low) / 2, 0.5))
        self.paint(box, ridge, dates)

    def _plans(self, dates: Dates) -> list[npt.NDArray[np.uint16]]:
        plans = ((Dates.FIRST, self.before), (Dates.SECOND, self.after))
        return [plan for date, plan in plans if date & dates]

    def _add(self, surface: Surface) -> int:
        self.surfaces.append(surface)
        self.covers.append(surface.cover)
        return len(self.surfaces) - 1

    def _cells(self, box: Box) -> tuple[slice, slice]:
        rows, cols = self.before.shape
        p0, p1 = (min(max(0, round(edge / self.cell)), cols) for edge in (box.p0, box.p1))
        q0, q1 = (min(max(0, round(edge / self.cell)), rows) for edge in (box.q0, box.q1))
        return slice(q0, max(q1, q0)), slice(p0, max(p1, p0))


def rounded(half_p: float, half_q: float, radius: float) -> Callable[[Lengths, Lengths], Mask]:
    """Inside a rectangle with round corners."""

    def inside(q: Lengths, p: Lengths) -> Mask:
        dp = np.maximum(np.abs(p) - (half_p - radius), 0)
        dq = np.maximum(np.abs(q) - (half_q - radius), 0)
        within: Mask = dp * dp + dq * dq <= radius * radius
        return within

    return inside


def blob(dice: Random, half_p: float, half_q: float) -> Callable[[Lengths, Lengths], Mask]:
    """Inside a smooth, somewhat irregular shore."""
    waves = [
        (order, dice.uniform(-0.16, 0.16) / order**0.5, dice.uniform(-0.16, 0.16) / order**0.5)
        for order in (2, 3, 4, 5)
    ]

    def inside(q: Lengths, p: Lengths) -> Mask:
        z = p / half_p + 1j * (q / half_q)
        distance = np.abs(z)
        turned = z / np.maximum(distance, 1e-9)
        shore = np.full(z.shape, 0.82)
        for order, cosine, sine in waves:
            power = turned**order
            shore += cosine * power.real + sine * power.imag
        within: Mask = distance <= shore
        return within

    return inside


def subdivided(box: Box, dice: Random, longest: float, gap: float) -> list[Box]:
    """The box cut, and cut again, across its longer side until no side is longer than `longest`; gaps lie between."""
    axis = box.long_axis
    length = box.size[axis]
    if length <= longest:
        return [box]
    middle = length * dice.uniform(0.38, 0.62)
    parts = box.cut(axis, 0, middle - gap / 2), box.cut(axis, middle + gap / 2, length)
    return [lot for part in parts for lot in subdivided(part, dice, longest, gap)]


def row_of(box: Box, axis: int, width: float) -> list[Box]:
    """The box cut into equal parts about `width` long along an axis."""
    length = box.size[axis]
    count = max(1, round(length / width))
    return [box.cut(axis, length * each / count, length * (each + 1) / count) for each in range(count)]
