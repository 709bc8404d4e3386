"""Small GeoTIFFs for the tests of scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geofcs.grid import Grid, PixelMap
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.scene.pair import PairValues

UTM31 = "EPSG:32631"
ORIGIN = Affine(10, 0, 500_000, 0, -10, 5_000_000)
"""Pixels of 10 m whose north-western corner lies at 3 E, 45.2 N in UTM zone 31."""

T1_SHAPE = (90, 120)


def write(
    path: Path, bands: npt.NDArray[Any], transform: Affine | None = ORIGIN, crs: str | None = UTM31, **profile: Any
) -> str:
    """A GeoTIFF of (bands, h, w) values, or one band (h, w), tiled by 64; colours undefined unless told otherwise."""
    bands = bands[None] if bands.ndim == 2 else bands
    count, height, width = bands.shape
    settings = {"tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "minisblack", "alpha": "unspecified"}
    where = {} if transform is None else {"transform": transform}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, crs=crs,
        **(settings | where | profile),
    ) as dataset:  # fmt: skip
        dataset.write(bands)
    return str(path)


def noise(shape: tuple[int, int] = T1_SHAPE, dtype: str = "uint8", bands: int = 3, seed: int = 0) -> npt.NDArray[Any]:
    """(bands, h, w) random values from 1 to 250."""
    return np.random.default_rng(seed).integers(1, 251, (bands, *shape)).astype(dtype)


def coordinates_of(pixels: Grid, within: Grid) -> npt.NDArray[np.float32]:
    """(3, h, w): where the pixel centres of one grid lie in pixels of another: column, row, and their sum."""
    cols, rows = np.meshgrid(np.arange(pixels.width) + 0.5, np.arange(pixels.height) + 0.5)
    xs, ys = PixelMap(pixels, within)(cols, rows)
    return np.stack([xs, ys, xs + ys]).astype(np.float32)


def grid_of(crs: str, transform: Affine, shape: tuple[int, int] = T1_SHAPE) -> Grid:
    return Grid(CRS.from_user_input(crs), transform, *shape)


def values(pair: ScenePair, window: Window | None = None) -> PairValues:
    """Unscaled values of a window, or of the whole grid, through a reader of their own."""
    with pair.open() as reader:
        return reader.read_values(window or pair.grid.window)


def plan(t1: str, t2: str, **options: Any) -> ScenePair:
    return plan_pair(t1, t2, SceneOptions(**options))


def set_colours(path: str, colours: tuple[ColorInterp, ...]) -> str:
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = colours
    return path
