"""Resampling onto the grid: pixels land where they belong, whatever window is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geofcs.errors import UsageError
from geofcs.scene import ScenePair
from geofcs.scene.alignment import Straight, Warp
from geofcs.scene.warp import RESAMPLINGS
from tests.scene.rasters import ORIGIN, T1_SHAPE, UTM31, coordinates_of, grid_of, noise, plan, values, write

SHAPE = (140, 190)
SOURCES = {
    "moved by part of a pixel": (UTM31, Affine(10, 0, 499_803, 0, -10, 5_000_204)),
    "rotated": (UTM31, Affine(9, 3, 499_600, 3, -9, 4_999_900)),
    "south-up": (UTM31, Affine(10, 0, 499_805, 0, 10, 4_998_905)),
    "finer": (UTM31, Affine(3, 0, 500_100, 0, -3.5, 4_999_900)),
    "coarser": (UTM31, Affine(31, 0, 499_000, 0, -28, 5_001_000)),
    "degrees": ("EPSG:4326", Affine(1.2e-4, 0, 2.9955, 0, -9e-5, 45.1565)),
    "another zone": ("EPSG:32630", Affine(11, 0, 971_300, 0, -11, 5_017_600)),
    "web mercator": ("EPSG:3857", Affine(14, 0, 333_800, 0, -14, 5_646_000)),
}
"""Rasters of 140 x 190 pixels that cover a good part of T1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warp")
    write(folder / "t1.tif", noise())
    for name, (crs, transform) in SOURCES.items():
        for dtype in ("uint8", "uint16", "float32"):
            write(folder / f"{name} {dtype}.tif", noise(SHAPE, dtype), transform, crs)
    return folder


def pair_with(folder: Path, name: str, dtype: str = "uint8", resampling: str | None = None) -> ScenePair:
    return plan(f"{folder}/t1.tif", f"{folder}/{name} {dtype}.tif", resampling=resampling, scale="0,255")


@pytest.mark.parametrize("name", SOURCES)
def test_a_scene_of_its_own_coordinates_comes_back(name: str, folder: Path, tmp_path: Path) -> None:
    crs, transform = SOURCES[name]
    here = grid_of(UTM31, ORIGIN)
    t2 = write(tmp_path / "t2.tif", coordinates_of(grid_of(crs, transform, SHAPE), here), transform, crs)
    pair = plan(f"{folder}/t1.tif", t2, scale="0,255")
    assert pair.t2.warped
    got = values(pair)
    offset = pair.grid.offset_in(here)
    assert offset is not None
    expected = coordinates_of(pair.grid, here)
    # Half a source pixel from its rim there is nothing to interpolate with.
    inner = got.valid & values_moved_inside(pair)
    assert inner.mean() > 0.3
    error = np.abs(got.t2 - expected).max(axis=0)
    assert error[inner].max() < 0.05


def values_moved_inside(pair: ScenePair) -> npt.NDArray[np.bool_]:
    """Pixels of the grid that lie at least two pixels, of either kind, inside T2."""
    there = coordinates_of(pair.grid, pair.t2.source.grid)
    source, placement = pair.t2.source.grid, pair.t2.placement
    assert isinstance(placement, Warp)
    across, down = 2 / placement.xscale, 2 / placement.yscale
    return np.asarray(
        (there[0] > across) & (there[0] < source.width - across) & (there[1] > down) & (there[1] < source.height - down)
    )


@pytest.mark.parametrize("name", SOURCES)
def test_a_pixel_is_valid_exactly_where_its_centre_lies_in_the_source(name: str, folder: Path) -> None:
    pair = pair_with(folder, name)
    there = coordinates_of(pair.grid, pair.t2.source.grid)
    inside = (there[0] > 0) & (there[0] < SHAPE[1]) & (there[1] > 0) & (there[1] < SHAPE[0])
    near_rim = np.minimum(np.abs(there[0] % SHAPE[1]), np.abs(there[1] % SHAPE[0])) < 0.01
    assert ((values(pair).valid == inside) | near_rim).all()


def with_cells(pair: ScenePair, height: int, width: int) -> ScenePair:
    """The pair with cells so small that its scene has many."""
    assert isinstance(pair.t2.placement, Warp)
    placement = replace(pair.t2.placement, cell_height=height, cell_width=width)
    return replace(pair, t2=replace(pair.t2, placement=placement))


def check_a_window(folder: Path, data: st.DataObject) -> None:
    """Any window of any pair is that part of the whole."""
    name = data.draw(st.sampled_from(sorted(SOURCES)))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "float32"]))
    resampling = data.draw(st.sampled_from([None, *RESAMPLINGS]))
    pair = with_cells(pair_with(folder, name, dtype, resampling), 40, 50)
    top, left = data.draw(st.integers(0, pair.grid.height - 1)), data.draw(st.integers(0, pair.grid.width - 1))
    height = data.draw(st.integers(1, pair.grid.height - top))
    width = data.draw(st.integers(1, pair.grid.width - left))
    with pair.open() as reader:
        whole = reader.read(pair.grid.window)
    with pair.open() as reader:
        part = reader.read(Window(left, top, width, height))
    cut = np.s_[top : top + height, left : left + width]
    assert part.t2.tobytes() == whole.t2[:, *cut].tobytes()
    assert part.t1.tobytes() == whole.t1[:, *cut].tobytes()
    assert part.valid.tobytes() == whole.valid[cut].tobytes()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_windows_are_cut_from_the_whole_to_the_last_bit(folder: Path, data: st.DataObject) -> None:
    check_a_window(folder, data)


@pytest.mark.long
@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_many_windows_are_cut_from_the_whole_to_the_last_bit(folder: Path, data: st.DataObject) -> None:
    check_a_window(folder, data)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair's first scene, and second ones on other grids, larger than a cell."""
    folder, pixels = tmp_path_factory.mktemp("waves"), smooth((900, 1900))
    write(folder / "t1.tif", noise((300, 700)))
    for name in CUT_IN_CELLS:
        crs, transform = SOURCES[name]
        write(folder / f"{name}.tif", pixels, transform, crs)
    return folder


CUT_IN_CELLS = ("rotated", "finer", "coarser", "degrees")


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("name", CUT_IN_CELLS)
def test_cells_join_without_a_seam(name: str, resampling: str, waves: Path) -> None:
    """All at once, with exact coordinates, GDAL makes the same of it to a grey value; there are six cells or more."""
    t2 = f"{waves}/{name}.tif"
    pair = plan(f"{waves}/t1.tif", t2, scale="0,255", resampling=resampling)
    placement, grid = pair.t2.placement, pair.grid
    assert isinstance(placement, Warp)
    assert grid.height > 2 * placement.cell_height and grid.width > placement.cell_width
    with rasterio.open(t2) as dataset, WarpedVRT(
        dataset, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width, nodata=np.nan,
        tolerance=1e-6, warp_mem_limit=2000, resampling=RESAMPLINGS[resampling].method, XSCALE=placement.xscale,
        YSCALE=placement.yscale,
    ) as at_once:  # fmt: skip
        expected = at_once.read()
    got = values(pair)
    difference = np.abs(got.t2 - expected).max(axis=0)[got.valid]
    if resampling == "nearest":  # a centre near the border of two source pixels may fall to either
        assert (difference > 0.01).mean() < 0.01
    else:
        assert difference.max() < 0.1


def smooth(shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    waves = [np.sin(rows / (11 + band)) * np.cos(cols / (7 + band)) * 100 + 120 for band in range(3)]
    return np.stack(waves).astype(np.float32)


def test_equal_grids_are_read_as_they_are(tmp_path: Path) -> None:
    pair = plan(write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(seed=1)))
    assert pair.t1.placement == pair.t2.placement == Straight(0, 0)
    assert not pair.t2.warped
    with pair.open() as reader:
        pixels = reader.read(Window(30, 10, 50, 40))
    assert (pixels.t1 == noise()[:, 10:50, 30:80]).all()
    assert (pixels.t2 == noise(seed=1)[:, 10:50, 30:80]).all()
    assert pixels.valid.all() and pixels.valid.shape == (40, 50)


@pytest.mark.parametrize("crs", [UTM31, "EPSG:32631+5773"])
def test_scenes_shifted_by_whole_pixels_are_read_as_they_are(crs: str, tmp_path: Path) -> None:
    t2 = write(tmp_path / "b.tif", noise(seed=1), Affine(10, 0, 500_200.0001, 0, -10, 5_000_070), crs)
    pair = plan(write(tmp_path / "a.tif", noise()), t2)
    assert (pair.t1.placement, pair.t2.placement) == (Straight(0, 20), Straight(7, 0))
    assert pair.grid.shape == (83, 100)
    pixels = values(pair)
    assert (pixels.t1 == noise()[:, :83, 20:]).all()
    assert (pixels.t2 == noise(seed=1)[:, 7:, :100]).all()


@pytest.mark.parametrize("transform", [Affine(10, 0, 500_000, 0, 10, 4_999_100), Affine(9, 3, 500_000, 3, -9, 5e6)])
def test_a_first_scene_that_is_not_north_up_is_read_on_a_north_up_grid(transform: Affine, tmp_path: Path) -> None:
    own = grid_of(UTM31, transform)
    t1 = write(tmp_path / "a.tif", coordinates_of(own, own), transform)
    pair = plan(t1, write(tmp_path / "b.tif", noise(SHAPE), SOURCES["moved by part of a pixel"][1]), scale="0,255")
    assert pair.grid.is_north_up and pair.t1.warped
    assert pair.grid.transform.a == pytest.approx(np.hypot(transform.a, transform.b))
    there = coordinates_of(pair.grid, own)
    got = values(pair)
    inner = (there[0] > 1) & (there[0] < own.width - 1) & (there[1] > 1) & (there[1] < own.height - 1)
    assert got.valid[inner].all()
    assert np.abs(got.t1 - there).max(axis=0)[inner].max() < 0.01


@pytest.mark.parametrize(
    ("factor", "expected"), [(0.5, "bilinear"), (1.4, "bilinear"), (1.6, "average"), (9, "average")]
)
def test_much_finer_scenes_are_averaged(factor: float, expected: str, tmp_path: Path) -> None:
    t2 = write(tmp_path / "b.tif", noise(SHAPE), Affine(10 / factor, 0, 500_003, 0, -10 / factor, 4_999_998))
    placement = plan(write(tmp_path / "a.tif", noise()), t2).t2.placement
    assert isinstance(placement, Warp) and placement.resampling == expected
    assert placement.xscale == pytest.approx(1 / factor if factor > 1.25 else 1)


def test_averages_are_averages(tmp_path: Path) -> None:
    fine = noise((360, 480), "float32")
    t2 = write(tmp_path / "b.tif", fine, Affine(2.5, 0, 500_000, 0, -2.5, 5e6))
    pair = plan(write(tmp_path / "a.tif", noise()), t2, scale="0,255")
    np.testing.assert_allclose(values(pair).t2, fine.reshape(3, 90, 4, 120, 4).mean(axis=(2, 4)), rtol=1e-5)


def test_a_scene_a_hundred_times_finer_is_read_in_small_cells(tmp_path: Path) -> None:
    t2 = write(tmp_path / "b.tif", noise((1500, 1500)), Affine(0.1, 0, 500_000, 0, -0.1, 5e6))
    pair = plan(write(tmp_path / "a.tif", noise()), t2)
    placement = pair.t2.placement
    assert isinstance(placement, Warp) and placement.cell_width * 100 < 5000
    assert values(pair).t2.mean() == pytest.approx(125.5, abs=1)


def test_the_resampling_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), Affine(10, 0, 5e5 + 2, 0, -10, 5e6))
    pair = plan(t1, t2, resampling="nearest")
    assert (values(pair).t2 == noise()[:, :, : pair.grid.width]).all()
    with pytest.raises(UsageError, match=r"--resampling nearby: .*nearest, bilinear"):
        plan(t1, t2, resampling="nearby")


def test_kernels_that_overshoot_stay_within_0_and_255(tmp_path: Path) -> None:
    checks = np.where(np.indices(T1_SHAPE).sum(axis=0) // 3 % 2, 255, 0).astype(np.uint8)
    t2 = write(tmp_path / "b.tif", checks, Affine(10, 0, 5e5 + 2, 0, -10, 5e6 - 3))
    pair = plan(write(tmp_path / "a.tif", noise()), t2, resampling="cubic")
    raw: Any = values(pair).t2
    assert raw.min() < 0 and raw.max() > 255
    with pair.open() as reader:
        pixels = reader.read(pair.grid.window)
    assert pixels.t2.min() == 0 and pixels.t2.max() == 255


def test_every_resampling_knows_gdal_s_name() -> None:
    assert all(Resampling[name] == kernel.method for name, kernel in RESAMPLINGS.items())
