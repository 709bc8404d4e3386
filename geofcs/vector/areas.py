"""The true size of every pixel of a grid: square metres on the ellipsoid of its CRS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
from pyproj.exceptions import CRSError, ProjError

from geofcs.grid import Grid

Floats = npt.NDArray[np.float64]

MOST_CELLS = 256
"""Cells per axis in which a projected grid is measured. Between their centres the size of a pixel is interpolated; for
a scene 160 km wide in UTM or web Mercator that is right to 1e-7."""


@dataclass(frozen=True)
class PixelAreas:
    """The grid cut into equal cells, and the mean size of a pixel in each: (m, n) square metres.

    NaN where the CRS has no ellipsoid (unreferenced images) or is not defined at that place.
    """

    grid_shape: tuple[int, int]
    of_cells: Floats

    @staticmethod
    def of(grid: Grid) -> PixelAreas:
        """Measure a grid. A north-up grid in degrees is measured exactly, row by row."""
        try:
            crs = None if grid.crs is None else pyproj.CRS.from_user_input(grid.crs)
        except CRSError:
            crs = None
        geod = None if crs is None else crs.get_geod()
        if crs is None or geod is None:
            return PixelAreas(grid.shape, np.full((1, 1), np.nan))
        if crs.is_geographic and grid.transform.b == grid.transform.d == 0:
            return PixelAreas(grid.shape, _areas_of_rows(grid, crs, geod))
        return PixelAreas(grid.shape, _areas_of_cells(grid, crs, geod))

    @property
    def are_known(self) -> bool:
        """Whether there are square metres at all."""
        return bool(np.isfinite(self.of_cells).any())

    def at(self, row: npt.NDArray[Any], x: Floats) -> Floats:
        """Square metres of pixels whose centres lie in pixel rows `row` at column coordinates `x`."""
        upper, lower, down = _between(row + 0.5, self.grid_shape[0], self.of_cells.shape[0])
        left, right, along = _between(x, self.grid_shape[1], self.of_cells.shape[1])
        at_left = self._in_column(upper, lower, left, down)
        return np.asarray(at_left + (self._in_column(upper, lower, right, down) - at_left) * along)

    def _in_column(
        self, upper: npt.NDArray[np.intp], lower: npt.NDArray[np.intp], col: npt.NDArray[np.intp], down: Floats
    ) -> Floats:
        above = self.of_cells[upper, col]
        return np.asarray(above + (self.of_cells[lower, col] - above) * down)


def _between(x: npt.NDArray[Any], length: int, cells: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Of `cells` equal cells in `length` pixels, those whose centres lie around each x, and the second one's share."""
    position = x * (cells / length) - 0.5
    low = np.clip(position.astype(np.intp), 0, max(cells - 2, 0))
    return low, np.minimum(low + 1, cells - 1), position - low


def _areas_of_rows(grid: Grid, crs: pyproj.CRS, geod: pyproj.Geod) -> Floats:
    unit = crs.axis_info[0].unit_conversion_factor
    latitude = (grid.transform.f + grid.transform.e * np.arange(grid.height + 1)) * unit
    width = abs(grid.transform.a) * unit
    heights, radius = _authalic_sine(np.clip(latitude, -np.pi / 2, np.pi / 2), geod)
    return np.asarray(radius**2 * width * np.abs(np.diff(heights))[:, None])


def _areas_of_cells(grid: Grid, crs: pyproj.CRS, geod: pyproj.Geod) -> Floats:
    rows = np.linspace(0, grid.height, min(grid.height, MOST_CELLS) + 1)
    cols = np.linspace(0, grid.width, min(grid.width, MOST_CELLS) + 1)
    col, row = np.meshgrid(cols, rows)
    at = grid.transform
    x, y = at.a * col + at.b * row + at.c, at.d * col + at.e * row + at.f
    try:
        to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        longitude, latitude = to_degrees.transform(x, y)
    except ProjError:
        return np.full((1, 1), np.nan)
    longitude, latitude = (np.where(np.isfinite(each), np.radians(each), np.nan) for each in (longitude, latitude))
    z, radius = _authalic_sine(latitude, geod)
    rim = np.sqrt((1 - z) * (1 + z))
    points = np.stack([rim * np.cos(longitude), rim * np.sin(longitude), z], axis=-1)
    pixels = np.diff(rows)[:, None] * np.diff(cols)
    return np.asarray(_solid_angles(points) * radius**2 / pixels)


def _authalic_sine(latitude: Floats, geod: pyproj.Geod) -> tuple[Floats, float]:
    """Sine of the latitude on the sphere of equal area, and that sphere's radius in metres (Snyder 1987, 3-11 to 3-13).

    Areas on that sphere are areas on the ellipsoid.
    """
    e = np.sqrt(geod.es)

    def q(sine: Any) -> Any:
        return (1 - e**2) * (sine / (1 - (e * sine) ** 2) + (np.arctanh(e * sine) / e if e else sine))

    return q(np.sin(latitude)) / q(1.0), float(geod.a * np.sqrt(q(1.0) / 2))


def _solid_angles(points: Floats) -> Floats:
    """Of the quadrilaterals between (m + 1, n + 1) points on the unit sphere: (m, n) steradian."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    return np.asarray(np.abs(_solid_angle(a, b, c) + _solid_angle(a, c, d)))


def _solid_angle(a: Floats, b: Floats, c: Floats) -> Floats:
    """Of spherical triangles (Van Oosterom and Strackee 1983); differences keep small ones exact."""
    volume = np.sum(a * np.cross(b - a, c - a), axis=-1)
    scale = 1 + sum(np.sum(p * q, axis=-1) for p, q in ((a, b), (b, c), (c, a)))
    return np.asarray(2 * np.arctan2(volume, scale))
