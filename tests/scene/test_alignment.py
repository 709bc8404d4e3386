"""Scenes of any CRS, turned, mirrored, finer or coarser: what comes onto the grid is what lies there."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from geofcs.errors import InputError
from geofcs.grid import Grid, PixelMap
from tests.scene.rasters import ORIGIN, UTM31, coordinates_of, grid_of, noise, plan, values, write

CRSS = (
    *(UTM31, "EPSG:32630", "EPSG:32632", "EPSG:25831", "EPSG:4326", "EPSG:4258", "EPSG:3857", "EPSG:3035"),
    *("EPSG:2154", "EPSG:3395", "EPSG:6933", "EPSG:3034"),
)
"""Twelve that hold at 3 E, 45 N."""

T1 = grid_of(UTM31, ORIGIN)

MOST_ASIDE = 0.05
"""Pixels of the grid: how far a resampled coordinate may lie from the pixel it is found at."""


@st.composite
def second_grids(draw: st.DrawFn) -> Grid:
    """A grid that overlaps T1: pixels 0.81 to 1.4 times as wide, turned by any angle, north-up or south-up.

    Over finer ones kernels are widened, which in GDAL shifts by up to 0.07 pixels (`FINER_FOR_WIDER_KERNELS`).
    """
    crs = draw(st.sampled_from(CRSS))
    height, width = draw(st.integers(20, 130)), draw(st.integers(20, 130))
    scale = draw(st.floats(0.81, 1.4))
    angle = draw(st.one_of(st.just(0.0), st.floats(0, 360)))
    flip = draw(st.sampled_from([1, -1]))
    centre = draw(st.floats(20, 100)), draw(st.floats(20, 70))
    to_crs = PixelMap(T1, Grid(grid_of(crs, Affine.identity()).crs, Affine.identity(), 1, 1))
    xs, ys = to_crs(np.array([centre[0], centre[0] + 1, centre[0]]), np.array([centre[1], centre[1], centre[1] + 1]))
    local = Affine(xs[1] - xs[0], xs[2] - xs[0], xs[0], ys[1] - ys[0], ys[2] - ys[0], ys[0])
    own = Affine.rotation(angle) @ Affine.scale(scale, scale * flip) @ Affine.translation(-width / 2, -height / 2)
    return grid_of(crs, local @ own, (height, width))


@given(second_grids(), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_coordinates_come_to_where_they_belong_by_any_window(second: Grid, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        t1 = write(Path(folder) / "t1.tif", noise())
        content = coordinates_of(second, T1)
        assert second.crs is not None
        t2 = write(Path(folder) / "t2.tif", content, second.transform, second.crs.to_wkt())
        try:
            pair = plan(t1, t2, bands="1,2,3", scale="0,255")
        except InputError as error:
            assert "do not overlap" in str(error)
            return
        whole = values(pair)
        expected = coordinates_of(pair.grid, T1)
        rows, cols = whole.valid.shape
        in_second = coordinates_of(pair.grid, second)[:2]
        size = np.array([second.width, second.height])[:, None, None]
        deep = ((in_second > 1.6) & (in_second < size - 1.6)).all(axis=0)
        outside = ((in_second < -0.6) | (in_second > size + 0.6)).any(axis=0)
        assert whole.valid[deep].all()
        assert not whole.valid[outside].any()
        aside = np.abs(whole.t2[:2] - expected[:2])[:, deep]
        assert aside.max(initial=0) <= MOST_ASIDE
        rng = np.random.default_rng(seed)
        top, left = int(rng.integers(rows)), int(rng.integers(cols))
        window = Window(left, top, int(rng.integers(1, cols - left + 1)), int(rng.integers(1, rows - top + 1)))
        part = values(pair, window)
        there = window.toslices()
        assert np.array_equal(part.valid, whole.valid[there])
        assert np.array_equal(part.t2[:, part.valid], whole.t2[:, *there][:, part.valid])
