"""The common grid: where two rasters overlap, and how one of them comes onto the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from geofcs.errors import InputError
from geofcs.grid import Bounds, Grid, PixelMap, same_crs

POINTS_PER_SIDE = 21
"""Sides of a raster bend in another projection; so many points follow them."""

FINER_FOR_AVERAGE = 1.5
"""Where a source has so many times more pixels a side than the grid, they are averaged by default."""

FINER_FOR_WIDER_KERNELS = 1.25
"""Over sources that are hardly finer, wider kernels would blur, and shift by some hundredths of a pixel."""

MOST_TIMES_FINER = 200.0
"""Beyond this factor of pixel sizes, either way, two rasters have nothing to say to each other."""

SANE_AREA = (0.1, 10.0)
"""An outline that covers another share of the pixels it should is torn apart by its projection."""


@dataclass(frozen=True)
class Straight:
    """Pixels are read as they are: the grid's first one is (row, col) of the source."""

    row: int
    col: int


@dataclass(frozen=True)
class Warp:
    """Pixels are resampled, in cells of (cell_height, cell_width) grid pixels that are always the same.

    `xscale` and `yscale` are the grid's pixels per source pixel along the source's axes, at most 1: how far the
    resampling kernel is widened. They are fixed here because GDAL would else guess them from each window.
    """

    resampling: str
    xscale: float
    yscale: float
    cell_height: int
    cell_width: int


Placement = Straight | Warp

CELL = (128, 512)
"""Height and width of a cell in pixels. Low ones: a tile that lies across their borders has less to read besides."""

MOST_SOURCE_PER_CELL = 8.0
"""A cell reaches over at most so many times its pixels a side in the source; over finer sources cells are smaller."""


def place(source: Grid, grid: Grid, resampling: str | None, name: str) -> Placement:
    """How `source` comes onto `grid`: straight where its pixels coincide and cover it, else warped.

    Without `resampling` it is "bilinear", or "average" from a source more than 1.5 times finer. Raises
    `InputError`, with the file's name, for pixel sizes more than 200 times apart.
    """
    offset = grid.offset_in(source)
    if offset is not None and source.contains(Window(offset[1], offset[0], grid.width, grid.height)):
        return Straight(*offset)
    finer_x, finer_y = _times_finer(source, grid)
    finer = math.sqrt(finer_x * finer_y)
    if not 1 / MOST_TIMES_FINER < finer < MOST_TIMES_FINER:
        raise InputError(
            f"{name}: its pixels are too far in size from the grid's, which are {finer:.3g} times as wide: resample it "
            "first with gdalwarp -tr"
        )
    shrink = math.ceil(max(finer_x, finer_y, 1) / MOST_SOURCE_PER_CELL)
    return Warp(
        resampling or ("average" if finer > FINER_FOR_AVERAGE else "bilinear"),
        xscale=_kernel_scale(finer_x),
        yscale=_kernel_scale(finer_y),
        cell_height=math.ceil(CELL[0] / shrink),
        cell_width=math.ceil(CELL[1] / shrink),
    )


def _kernel_scale(finer: float) -> float:
    return 1 / finer if finer > FINER_FOR_WIDER_KERNELS else 1.0


def _times_finer(source: Grid, grid: Grid) -> tuple[float, float]:
    """Source pixels that a grid pixel in the middle reaches over, along the source's columns and rows."""
    across, down = np.hypot(*PixelMap(grid, source).steps(grid.width / 2, grid.height / 2).T)
    return float(across), float(down)


def overlap(grid: Grid, source: Grid, names: tuple[str, str]) -> Window:
    """The window of `grid` around the pixels whose centres lie in `source`.

    `names` are those of the two files; raises `InputError` where there is no such pixel, with both extents.
    """
    shared = _shared_outline(grid, source, names)
    window = None if shared is None or shared.is_empty else window_of_centres(shared.bounds, grid)
    if window is None:
        raise InputError(
            f"{names[0]} and {names[1]} do not overlap, their extents are {_extents(grid, source)}: give two scenes of "
            "one place"
        )
    return window


def window_of_centres(bounds: Bounds, grid: Grid) -> Window | None:
    """The window of the grid's pixels whose centres lie in bounds (left, top, right, bottom), in pixels, if any."""
    left, top, right, bottom = bounds
    first_col, stop_col = max(0, math.ceil(left - 0.5)), min(grid.width, math.floor(right - 0.5) + 1)
    first_row, stop_row = max(0, math.ceil(top - 0.5)), min(grid.height, math.floor(bottom - 0.5) + 1)
    if first_col >= stop_col or first_row >= stop_row:
        return None
    return Window(first_col, first_row, stop_col - first_col, stop_row - first_row)


def _shared_outline(grid: Grid, source: Grid, names: tuple[str, str]) -> BaseGeometry | None:
    """What both cover, in pixels of `grid`; None where they are apart.

    The smaller of two rasters can lie where the projection of the other holds, but hardly the other way round: what
    one direction tears apart, the other may carry over.
    """
    box = shapely.box(0, 0, grid.width, grid.height)
    outline = carried(_outline(source), source, grid)
    if outline is not None:
        return box & outline
    outline = carried(_outline(grid), grid, source)
    if outline is not None:
        shared = outline & shapely.box(0, 0, source.width, source.height)
        if shared.is_empty:
            return None
        back = carried(shapely.segmentize(shared, max(source.shape) / POINTS_PER_SIDE), source, grid)
        if back is not None:
            return box & back
    if _apart(grid, source):
        return None
    raise InputError(
        f"{names[1]} cannot be brought onto the pixels of {names[0]}: one projection does not hold where the other "
        "scene lies, or a scene crosses the antimeridian: project both into one local CRS first with gdalwarp -t_srs"
    )


def _outline(grid: Grid) -> shapely.Polygon:
    box = shapely.box(0, 0, grid.width, grid.height)
    return shapely.segmentize(box, max(grid.shape) / POINTS_PER_SIDE)


def carried(shape: BaseGeometry, source: Grid, target: Grid) -> BaseGeometry | None:
    """A polygon from pixels of one grid to pixels of another; None where the projection tears it apart."""
    to_target = PixelMap(source, target)
    points = shapely.get_coordinates(shape)
    moved = np.column_stack(to_target(points[:, 0], points[:, 1]))
    centre = shape.centroid
    steps = to_target.steps(centre.x, centre.y)
    if not np.isfinite(moved).all() or not np.isfinite(steps).all():
        return None
    expected = shape.area * abs(np.linalg.det(steps))
    outline = shapely.set_coordinates(shape, moved)
    sane = outline.is_valid and SANE_AREA[0] * expected < outline.area < SANE_AREA[1] * expected
    return outline if sane else None


def _apart(a: Grid, b: Grid) -> bool:
    """Whether two grids lie in different parts of the earth, as far as that can be said."""
    one, other = lonlat_bounds(a), lonlat_bounds(b)
    if one is None or other is None:
        return False
    shifts = (-360, 0, 360)
    return all(one[2] < other[0] + s or one[0] > other[2] + s for s in shifts) or one[3] < other[1] or one[1] > other[3]


def lonlat_bounds(grid: Grid) -> Bounds | None:
    """(west, south, east, north) in degrees, east beyond 180 across the antimeridian; None if not to be had."""
    if grid.crs is None:
        return None
    try:
        to_lonlat = pyproj.Transformer.from_crs(grid.crs.to_wkt(), "OGC:CRS84", always_xy=True)
        west, south, east, north = to_lonlat.transform_bounds(*grid.bounds)
    except pyproj.exceptions.ProjError:
        return None
    if not np.isfinite([west, south, east, north]).all():
        return None
    return west, south, east + (360 if east < west else 0), north


def _extents(grid: Grid, source: Grid) -> str:
    """Both extents in one CRS."""
    if same_crs(grid.crs, source.crs):
        return f"{bounds_text(grid.bounds)} and {bounds_text(source.bounds)} in {crs_text(grid)}"
    one, other = lonlat_bounds(grid), lonlat_bounds(source)
    return f"{bounds_text(one)} and {bounds_text(other)} in EPSG:4326"


def bounds_text(bounds: Bounds | None) -> str:
    """Bounds for messages: "(left, bottom, right, top)"."""
    return "(unknown)" if bounds is None else f"({', '.join(f'{value:.10g}' for value in bounds)})"


def crs_text(grid: Grid) -> str:
    """The grid's CRS in a word or two: its code, else its name."""
    if grid.crs is None:
        return "no CRS"
    code = grid.crs.to_authority()
    return ":".join(code) if code else grid.crs.to_wkt().split('"')[1]
