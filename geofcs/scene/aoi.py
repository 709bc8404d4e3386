"""The area of interest: polygons that cut the grid and say which of its pixels count."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from geofcs.errors import InputError, UsageError
from geofcs.grid import Grid, applied
from geofcs.remote import parse_address
from geofcs.scene.alignment import bounds_text, crs_text, window_of_centres
from geofcs.scene.options import numbers_in
from geofcs.scene.shapes import projected
from geofcs.scene.vectors import read_shapes

SIDE_TESTED_BY_PIXEL = 64
"""Windows that the outline crosses are quartered down to this side before each pixel is tested."""

POINTS_PER_SIDE = 100
"""Long straight edges bend in another projection; parts of this share of the longest extent follow them."""


@dataclass(frozen=True)
class Aoi:
    """Polygons in pixels of the grid, as well-known binary; `text` is what the user gave."""

    text: str
    wkb: bytes

    @property
    def sha256(self) -> str:
        """What tells two areas apart."""
        return hashlib.sha256(self.wkb).hexdigest()

    def open(self) -> AoiReader:
        """A reader for the calling thread."""
        return AoiReader(shapely.from_wkb(self.wkb))


class AoiReader:
    """Which pixels of a window have their centre inside; a pixel's answer depends on the pixel alone."""

    def __init__(self, shape: BaseGeometry) -> None:
        shapely.prepare(shape)
        self._shape = shape

    def read(self, window: Window) -> npt.NDArray[np.bool_]:
        """(h, w) bool."""
        inside = np.zeros((int(window.height), int(window.width)), bool)
        self._fill(inside, int(window.row_off), int(window.col_off))
        return inside

    def _fill(self, inside: npt.NDArray[np.bool_], top: int, left: int) -> None:
        height, width = inside.shape
        box = shapely.box(left, top, left + width, top + height)
        if self._shape.disjoint(box):
            return
        if self._shape.contains_properly(box):
            inside[:] = True
        elif max(height, width) <= SIDE_TESTED_BY_PIXEL:
            cols, rows = np.meshgrid(np.arange(left, left + width) + 0.5, np.arange(top, top + height) + 0.5)
            inside[:] = shapely.contains_xy(self._shape, cols, rows)
        else:
            for part in itertools.product(_halves(height), _halves(width)):
                self._fill(inside[part], top + part[0].start, left + part[1].start)


def _halves(length: int) -> list[slice]:
    half = length // 2
    return [slice(0, half), slice(half, length)] if half else [slice(0, length)]


def cut_to_aoi(grid: Grid, text: str) -> tuple[Grid, Aoi]:
    """The part of the grid that an area of interest leaves, and the area in its pixels.

    `text` is a vector file, or bounds in the grid's CRS, or bounds with a CRS behind. Raises `InputError` for files
    that hold no polygons and areas outside the grid.
    """
    bounds = _bounds_shape(text, grid)
    shape, shape_crs = bounds or _file_shape(text)
    text = text if bounds else parse_address(text).shown
    in_pixels = _in_pixels(shape, shape_crs, grid, text)
    window = None if in_pixels.is_empty else window_of_centres(in_pixels.bounds, grid)
    if window is None:
        raise InputError(
            f"--aoi {text}: lies outside the overlap of the scenes: it covers {_extent_text(in_pixels, grid)}, they "
            f"{bounds_text(grid.bounds)} in {crs_text(grid)}: check its CRS and coordinates"
        )
    moved = shapely.transform(in_pixels, lambda points: points - (window.col_off, window.row_off))
    return grid.crop(window), Aoi(text, shapely.to_wkb(moved))


def _bounds_shape(text: str, grid: Grid) -> tuple[BaseGeometry, pyproj.CRS | None] | None:
    """The rectangle that a text of four numbers, and perhaps a CRS, stands for; None if it is something else."""
    parts = text.split(",", 4)
    numbers = numbers_in(",".join(parts[:4]))
    if numbers is None or len(numbers) != 4:
        return None
    left, bottom, right, top = numbers
    if not (left < right and bottom < top and np.isfinite(numbers).all()):
        raise UsageError(f"--aoi {text}: give XMIN,YMIN,XMAX,YMAX with XMIN below XMAX and YMIN below YMAX")
    crs = _parsed_crs(parts[4], text) if len(parts) == 5 else _crs_of(grid)
    return shapely.box(left, bottom, right, top), crs


def _parsed_crs(name: str, text: str) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(name.strip())
    except pyproj.exceptions.CRSError as error:
        raise UsageError(f"--aoi {text}: {name.strip()!r} is no CRS: write it as EPSG:4326") from error


def _crs_of(grid: Grid) -> pyproj.CRS | None:
    return None if grid.crs is None else pyproj.CRS.from_wkt(grid.crs.to_wkt())


def _file_shape(text: str) -> tuple[BaseGeometry, pyproj.CRS | None]:
    """The union of a vector file's polygons, and its CRS."""
    try:
        found = read_shapes(text)
    except InputError as error:
        raise InputError(f"--aoi {error}, or XMIN,YMIN,XMAX,YMAX") from error
    name = parse_address(text).shown
    try:
        parts = shapely.get_parts(shapely.make_valid(found.geometries))
        polygons = parts[shapely.area(parts) > 0]
        area = shapely.union_all(polygons)
    except shapely.errors.GEOSException as error:
        raise InputError(f"--aoi {name}: its polygons cannot be put together ({error}): mend them") from error
    if not len(polygons):
        raise InputError(f"--aoi {name}: holds no polygons: give a file with some, or XMIN,YMIN,XMAX,YMAX")
    return area, found.crs


def _in_pixels(shape: BaseGeometry, crs: pyproj.CRS | None, grid: Grid, text: str) -> BaseGeometry:
    """A shape in pixels of the grid; what has no CRS is in the grid's."""
    target = _crs_of(grid)
    if crs is not None and target is None:
        raise InputError(f"--aoi {text}: has a CRS, but the scenes have none: give bounds in pixels")
    if crs is not None and target is not None and not crs.equals(target, ignore_axis_order=True):
        shape = _reprojected(shape, crs, target, text)
    return shapely.transform(shape, lambda points: np.column_stack(applied(~grid.transform, *points.T)))


def _reprojected(shape: BaseGeometry, crs: pyproj.CRS, target: pyproj.CRS, text: str) -> BaseGeometry:
    left, bottom, right, top = shape.bounds
    shape = shapely.segmentize(shape, max(right - left, top - bottom) / POINTS_PER_SIDE)
    (moved,) = shapely.make_valid(projected(np.array([shape], object), crs, target, f"--aoi {text}"))
    return cast(BaseGeometry, moved)


def _extent_text(in_pixels: BaseGeometry, grid: Grid) -> str:
    if in_pixels.is_empty:
        return "nothing"
    left, top, right, bottom = in_pixels.bounds
    xs, ys = applied(grid.transform, [left, right], [bottom, top])
    return bounds_text((xs[0], ys[0], xs[1], ys[1]))
