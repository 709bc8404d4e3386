"""The grid: one CRS, transform and shape that both scenes are read on and every output is written on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio.warp
from affine import Affine
from rasterio._err import CPLE_BaseError  # what rasterio.warp.transform raises has no public name
from rasterio.crs import CRS
from rasterio.windows import Window

from geofcs.errors import InputError

Bounds = tuple[float, float, float, float]

Coordinates = npt.NDArray[np.float64]

SAME_PLACE = 1e-3
"""Pixels: two grids whose corners differ by less lie on each other."""


@dataclass(frozen=True)
class Grid:
    """Pixels of (height, width), placed by `transform` (pixel corner -> CRS units) in `crs`.

    `crs` is None for images without georeferencing; then the transform is the identity.
    """

    crs: CRS | None
    transform: Affine
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise InputError(f"a grid of {self.height} x {self.width} pixels is empty")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window of the whole grid."""
        return Window(0, 0, self.width, self.height)

    @property
    def bounds(self) -> Bounds:
        """(left, bottom, right, top) in CRS units; of a rotated grid, its bounding box."""
        xs, ys = applied(self.transform, *self._corners)
        return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())

    @property
    def _corners(self) -> tuple[Coordinates, Coordinates]:
        """(xs, ys) of the four corners, in pixels."""
        return np.array([0.0, self.width, 0, self.width]), np.array([0.0, 0, self.height, self.height])

    @property
    def is_north_up(self) -> bool:
        """Whether columns run east and rows run south."""
        t = self.transform
        return t.b == t.d == 0 and t.a > 0 and t.e < 0

    def crop(self, window: Window) -> Grid:
        """The part of this grid inside `window` (whole pixels)."""
        column, row, width, height = int(window.col_off), int(window.row_off), int(window.width), int(window.height)
        t = self.transform
        x, y = applied(t, column, row)
        return replace(self, transform=Affine(t.a, t.b, float(x), t.d, t.e, float(y)), height=height, width=width)

    def north_up(self) -> Grid:
        """This grid if it is north-up, else the north-up one of the same pixel size around its bounding box."""
        if self.is_north_up:
            return self
        t = self.transform
        across, down = math.hypot(t.a, t.b), math.hypot(t.d, t.e)
        left, bottom, right, top = self.bounds
        return Grid(
            self.crs,
            Affine(across, 0, left, 0, -down, top),
            height=math.ceil((top - bottom) / down - SAME_PLACE),
            width=math.ceil((right - left) / across - SAME_PLACE),
        )

    def offset_in(self, other: Grid) -> tuple[int, int] | None:
        """(row, col) of `other` where this grid's first pixel lies, if pixels of both coincide all over; else None."""
        if not same_crs(self.crs, other.crs):
            return None
        cols, rows = self._corners
        other_cols, other_rows = applied(~other.transform, *applied(self.transform, cols, rows))
        col, row = round(other_cols[0]), round(other_rows[0])
        apart = max(np.abs(other_cols - cols - col).max(), np.abs(other_rows - rows - row).max())
        return (row, col) if apart < SAME_PLACE else None

    def contains(self, window: Window) -> bool:
        """Whether a window lies inside."""
        return bool(
            window.col_off >= 0
            and window.row_off >= 0
            and window.col_off + window.width <= self.width
            and window.row_off + window.height <= self.height
        )


def same_crs(a: CRS | None, b: CRS | None) -> bool:
    """Whether two CRSs place coordinates alike, however they are written: axis order and heights do not count."""
    if a is None or b is None:
        return a is b
    try:
        return a == b or _horizontal(a).equals(_horizontal(b), ignore_axis_order=True)
    except pyproj.exceptions.CRSError:  # a made-up CRS that GDAL passes on and PROJ does not know
        return False


def _horizontal(crs: CRS) -> pyproj.CRS:
    parsed = pyproj.CRS.from_wkt(crs.to_wkt())
    return parsed.sub_crs_list[0] if parsed.is_compound else parsed


@dataclass(frozen=True)
class PixelMap:
    """Where positions in pixels of one grid lie in pixels of another; (0, 0) is the outer corner of the first pixel."""

    source: Grid
    target: Grid

    def __call__(self, cols: npt.ArrayLike, rows: npt.ArrayLike) -> tuple[Coordinates, Coordinates]:
        """(cols, rows) of `target`, in the shape of the arguments; not finite where a projection ends."""
        xs, ys = applied(self.source.transform, cols, rows)
        if not self._same_crs:
            xs, ys = reprojected(self.source.crs, self.target.crs, xs, ys)
        return applied(~self.target.transform, xs, ys)

    @cached_property
    def _same_crs(self) -> bool:
        return same_crs(self.source.crs, self.target.crs)

    def steps(self, col: float, row: float) -> npt.NDArray[np.float64]:
        """(2, 2) Jacobian at a position: [[dcol/dcol, dcol/drow], [drow/dcol, drow/drow]], target by source."""
        cols, rows = self([col - 0.5, col + 0.5, col, col], [row, row, row - 0.5, row + 0.5])
        return np.array([[cols[1] - cols[0], cols[3] - cols[2]], [rows[1] - rows[0], rows[3] - rows[2]]])


def applied(transform: Affine, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Coordinates, Coordinates]:
    """(xs, ys) of positions under an affine transform, in the shape of the arguments."""
    x, y, t = np.asarray(x, np.float64), np.asarray(y, np.float64), transform
    with np.errstate(invalid="ignore"):
        return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def reprojected(source: CRS, target: CRS, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Coordinates of one CRS in another, by the library that also warps pixels; infinite where there are none."""
    try:
        moved = rasterio.warp.transform(source, target, x.ravel().tolist(), y.ravel().tolist())
    except CPLE_BaseError:
        if x.size == 1:
            return np.full_like(x, np.inf), np.full_like(y, np.inf)
        # One bad point fails them all; point by point shows which.
        each = [reprojected(source, target, one_x, one_y) for one_x, one_y in zip(_each(x), _each(y), strict=True)]
        moved = [np.concatenate(axis) for axis in zip(*each, strict=True)]
    return np.array(moved[0]).reshape(x.shape), np.array(moved[1]).reshape(y.shape)


def _each(values: Coordinates) -> list[Coordinates]:
    return list(values.ravel().reshape(-1, 1))
