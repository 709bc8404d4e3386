"""Bringing a source's pixels onto the grid, straight or resampled; windows and whole reads agree to the last bit.

What GDAL's warper makes of a pixel depends on the window that it is asked for: coordinates are interpolated along the
rows of the window, and kernels are sized after it. So pixels are always resampled in the same cells of the grid,
whatever window is read. Kernels of one size and coordinates good to a thousandth of a pixel keep neighbouring cells
together. Only the bands that are wanted are resampled, as floats, and invalid pixels are NaN before, so that they take
no part.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geofcs.errors import UsageError
from geofcs.grid import Grid, PixelMap, same_crs
from geofcs.scene.alignment import Straight, Warp
from geofcs.scene.files import READ_FAILURES, read_failure
from geofcs.scene.source import OpenSource, PixelReader, Pixels, window_text


@dataclass(frozen=True)
class Kernel:
    """A way of resampling, and how many source pixels around a position it may use."""

    method: Resampling
    radius: int


RESAMPLINGS = {
    "nearest": Kernel(Resampling.nearest, 1),
    "bilinear": Kernel(Resampling.bilinear, 1),
    "cubic": Kernel(Resampling.cubic, 2),
    "cubic_spline": Kernel(Resampling.cubic_spline, 2),
    "lanczos": Kernel(Resampling.lanczos, 3),
    "average": Kernel(Resampling.average, 1),
}

TOLERANCE = 1e-3
"""Source pixels by which GDAL may be wrong in interpolating coordinates; a thousand times less takes twice the time."""

CELLS_KEPT = 32
"""A tile meets about ten cells and shares half of them with the next tile; so many take some 30 MB."""

MARGIN = 2
"""Source pixels read around what a cell needs, for rounding."""

POINTS_PER_SIDE = 9
"""A mesh of so many points a side tells where a cell lies in the source, and how much it bends between them."""

WARP_MEMORY_MB = 512
"""More than any cell needs: GDAL splits what exceeds it."""


def checked_resampling(name: str | None) -> str | None:
    """The name if there is such a resampling, or none was asked for; `UsageError` lists those there are."""
    if name is not None and name not in RESAMPLINGS:
        raise UsageError(f"--resampling {name}: is not known; choose one of {', '.join(RESAMPLINGS)}")
    return name


def on_grid(source: OpenSource, grid: Grid, placement: Straight | Warp) -> PixelReader:
    """A reader of the source's pixels by windows of the grid."""
    if isinstance(placement, Straight):
        return StraightReader(source, placement)
    return WarpedReader(source, grid, placement)


class StraightReader:
    """Pixels as they are, at a fixed offset."""

    def __init__(self, source: OpenSource, placement: Straight) -> None:
        self._source, self._placement = source, placement

    def read(self, window: Window) -> Pixels:
        """The pixels of a window of the grid."""
        place = self._placement
        return self._source.read(
            Window(window.col_off + place.col, window.row_off + place.row, window.width, window.height)
        )


class WarpedReader:
    """Resampled pixels, from cells of which the last ones used are kept."""

    def __init__(self, source: OpenSource, grid: Grid, placement: Warp) -> None:
        self._source, self._grid, self._placement = source, grid, placement
        self._kernel = RESAMPLINGS[placement.resampling]
        self._to_source = PixelMap(grid, source.source.grid)
        own = source.source.grid.crs
        # One and the same CRS, written differently, must not set the projection machinery going.
        self._source_crs = grid.crs if same_crs(own, grid.crs) else own
        self._cells: OrderedDict[tuple[int, int], Pixels] = OrderedDict()

    def read(self, window: Window) -> Pixels:
        """The pixels of a window of the grid."""
        (top, bottom), (left, right) = window.toranges()
        height = self._placement.cell_height
        rows = [self._row_of_cells(row, top, bottom, left, right) for row in range(top // height, -(-bottom // height))]
        return _joined(rows, axis=0)

    def _row_of_cells(self, row: int, top: int, bottom: int, left: int, right: int) -> Pixels:
        """The part of a window that lies in one row of cells."""
        height, width = self._placement.cell_height, self._placement.cell_width
        rows = slice(max(top - row * height, 0), bottom - row * height)
        parts = []
        for col in range(left // width, -(-right // width)):
            cell, cols = self._cell(row, col), slice(max(left - col * width, 0), right - col * width)
            valid = None if cell.valid is None else cell.valid[rows, cols]
            parts.append(Pixels(cell.values[:, rows, cols], valid))
        return _joined(parts, axis=1)

    def _cell(self, row: int, col: int) -> Pixels:
        key = row, col
        if key not in self._cells:
            self._cells[key] = self._resampled(self._window_of(row, col))
            if len(self._cells) > CELLS_KEPT:
                self._cells.popitem(last=False)
        self._cells.move_to_end(key)
        return self._cells[key]

    def _window_of(self, row: int, col: int) -> Window:
        height, width = self._placement.cell_height, self._placement.cell_width
        top, left = row * height, col * width
        return Window(left, top, min(width, self._grid.width - left), min(height, self._grid.height - top))

    def _resampled(self, cell: Window) -> Pixels:
        wanted = self._source_window(cell)
        if wanted is None:
            shape = int(cell.height), int(cell.width)
            return Pixels(np.zeros((self._source.source.value_count, *shape), np.float32), np.zeros(shape, bool))
        pixels = self._source.read(wanted)
        nodata = None  # GDAL is twice as fast where it need not look for any
        if not pixels.validity.all():
            pixels.values[:, ~pixels.validity] = nodata = np.nan
        try:
            values = self._warped(pixels.values, wanted, cell, self._kernel.method, nodata)
            inside = self._warped(pixels.validity[None].astype(np.uint8), wanted, cell, Resampling.nearest, None)
        except READ_FAILURES as error:
            raise read_failure(self._source.source.file, window_text(wanted), error) from error
        valid = (inside[0] != 0) & np.isfinite(values).all(axis=0)
        return Pixels(values, None if valid.all() else valid)

    def _warped(
        self, values: npt.NDArray[Any], wanted: Window, cell: Window, method: Resampling, nodata: float | None
    ) -> npt.NDArray[Any]:
        """(bands, h, w) values of a window of the source, on a cell; `nodata` (or 0) where there are none."""
        bands, height, width = values.shape
        own, here = self._source.source.grid.crop(wanted), self._grid.crop(cell)
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=bands, height=height, width=width, dtype=values.dtype, nodata=nodata,
                crs=self._source_crs, transform=own.transform,
            ) as dataset:  # fmt: skip
                dataset.write(values)
            with memory.open() as dataset, WarpedVRT(
                dataset, crs=here.crs, transform=here.transform, height=here.height, width=here.width,
                resampling=method, tolerance=TOLERANCE, warp_mem_limit=WARP_MEMORY_MB,
                XSCALE=self._placement.xscale, YSCALE=self._placement.yscale,
            ) as warped:  # fmt: skip
                return cast(npt.NDArray[Any], warped.read())

    def _source_window(self, cell: Window) -> Window | None:
        """The source's pixels that a cell may need, or None if it lies outside."""
        (top, bottom), (left, right) = cell.toranges()
        cols, rows = np.meshgrid(np.linspace(left, right, POINTS_PER_SIDE), np.linspace(top, bottom, POINTS_PER_SIDE))
        xs, ys = self._to_source(cols, rows)
        if not (np.isfinite(xs) & np.isfinite(ys)).any():
            return None
        source = self._source.source.grid
        across = _needed(xs, self._kernel.radius / self._placement.xscale, source.width)
        down = _needed(ys, self._kernel.radius / self._placement.yscale, source.height)
        if across[0] >= across[1] or down[0] >= down[1]:
            return None
        return Window.from_slices(down, across)


def _needed(positions: npt.NDArray[np.float64], reach: float, length: int) -> tuple[int, int]:
    """First and stop of the pixels along an axis that lie within `reach` of a mesh of positions and what is between."""
    known = np.where(np.isfinite(positions), positions, np.nan)
    bends = [np.abs(np.diff(known, n=2, axis=axis)).ravel() for axis in (0, 1)]
    around = reach + MARGIN + np.nanmax(np.concatenate([*bends, [0.0]]))
    return max(0, math.floor(np.nanmin(known) - around)), min(length, math.ceil(np.nanmax(known) + around))


def _joined(parts: list[Pixels], axis: int) -> Pixels:
    """Pixels that lie side by side (axis 1) or below each other (axis 0), as one."""
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts], axis=axis + 1)
    if all(part.valid is None for part in parts):
        return Pixels(values, None)
    return Pixels(values, np.concatenate([part.validity for part in parts], axis=axis))
