"""A window of an endless scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofcs.synthetic.noise import Metres


@dataclass(frozen=True)
class Window:
    """Pixels, or sampling points, from (row, col) on; either may be negative."""

    row: int
    col: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def grown(self, above: int, below: int, beside: int) -> Window:
        """The window and so many rows and columns around it."""
        return Window(self.row - above, self.col - beside, self.height + above + below, self.width + 2 * beside)

    def divided(self, samples: int) -> Window:
        """The same ground in sampling points, `samples` a side to a pixel."""
        return Window(*(each * samples for each in (self.row, self.col, self.height, self.width)))

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Where this window lies in arrays of an outer one."""
        top, left = self.row - outer.row, self.col - outer.col
        return slice(top, top + self.height), slice(left, left + self.width)

    def ground(self, gsd: float) -> tuple[Metres, Metres]:
        """(y, x) of the pixels' middles in metres; y runs down."""
        y = (np.arange(self.row, self.row + self.height, dtype=np.float64) + 0.5) * gsd
        return y, (np.arange(self.col, self.col + self.width, dtype=np.float64) + 0.5) * gsd
