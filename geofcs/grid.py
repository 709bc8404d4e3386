"""The grid: one CRS, transform and shape that both scenes are read on and every output is written on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geofcs.errors import InputError

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Grid:
    """Pixels of (height, width), placed by `transform` (pixel corner -> CRS units) in `crs`.

    `crs` is None for images without georeferencing; then the transform is the identity or whatever the files held.
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
        corners = [self.transform * (x, y) for x in (0, self.width) for y in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def crop(self, window: Window) -> Grid:
        """The part of this grid inside `window` (whole pixels)."""
        column, row, width, height = int(window.col_off), int(window.row_off), int(window.width), int(window.height)
        return replace(self, transform=self.transform * Affine.translation(column, row), height=height, width=width)
