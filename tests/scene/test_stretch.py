"""Radiometric scaling: what becomes 0 and what 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geofcs.errors import InputError, UsageError
from geofcs.grid import Grid
from geofcs.scene import ScenePair
from geofcs.scene.sample import SAMPLINGS, sample_windows
from geofcs.scene.stretch import Stretch, percentile_stretch
from tests.scene.rasters import ORIGIN, noise, plan, write

SIXTEEN_BIT = noise(dtype="uint16") * 12


def read(pair: ScenePair) -> tuple[np.ndarray, np.ndarray]:
    with pair.open() as reader:
        pixels = reader.read(pair.grid.window)
    return pixels.t1, pixels.t2


@pytest.fixture
def sixteen_bit(tmp_path: Path) -> str:
    return write(tmp_path / "16.tif", SIXTEEN_BIT)


@pytest.fixture
def eight_bit(tmp_path: Path) -> str:
    return write(tmp_path / "8.tif", noise())


def test_bytes_pass_as_they_are(eight_bit: str) -> None:
    pair = plan(eight_bit, eight_bit)
    assert pair.t1.stretch is None and pair.t2.stretch is None
    assert (read(pair)[0] == noise()).all()


def test_percentiles_are_pooled_over_both_dates(sixteen_bit: str, tmp_path: Path) -> None:
    other = noise(dtype="uint16", seed=1) * 7 + 500
    pair = plan(sixteen_bit, write(tmp_path / "b.tif", other))
    pooled = np.concatenate([SIXTEEN_BIT.reshape(3, -1), other.reshape(3, -1)], axis=1)
    low, high = np.percentile(pooled, (2, 98), axis=1)
    assert pair.t1.stretch == pair.t2.stretch == Stretch(tuple(low), tuple(high))
    expected = np.clip((other - low[:, None, None]) * (255 / (high - low))[:, None, None], 0, 255)
    np.testing.assert_allclose(read(pair)[1], expected, atol=1e-3)
    assert any(note.startswith(f"both dates: values {low[0]:g} to {high[0]:g}, ") for note in pair.notes)


def test_each_date_may_have_its_own_percentiles(sixteen_bit: str, tmp_path: Path) -> None:
    pair = plan(sixteen_bit, write(tmp_path / "b.tif", SIXTEEN_BIT * 3), scale_per_date=True)
    first, second = pair.t1.stretch, pair.t2.stretch
    assert first and second and second.high == tuple(3 * value for value in first.high)
    np.testing.assert_allclose(*read(pair), atol=1e-3)


def test_percentiles_come_from_valid_pixels_alone(tmp_path: Path) -> None:
    holes = SIXTEEN_BIT.copy()
    holes[:, :60] = 65535
    t1, whole = write(tmp_path / "a.tif", holes, nodata=65535), write(tmp_path / "b.tif", SIXTEEN_BIT)
    stretch = plan(t1, whole).t2.stretch
    assert stretch == percentile_stretch(SIXTEEN_BIT[:, 60:].reshape(3, -1))


def test_the_range_may_be_given(sixteen_bit: str) -> None:
    pair = plan(sixteen_bit, sixteen_bit, scale="100,2000.5")
    assert pair.t1.stretch == pair.t2.stretch == Stretch((100.0,) * 3, (2000.5,) * 3)
    t1, _ = read(pair)
    np.testing.assert_allclose(t1, np.clip((SIXTEEN_BIT - 100.0) * 255 / 1900.5, 0, 255), atol=1e-3)
    assert t1.dtype == np.float32 and t1.min() == 0 and t1.max() == 255


def test_a_range_that_is_given_holds_for_bytes_too(eight_bit: str) -> None:
    assert plan(eight_bit, eight_bit, scale="0,100").t1.stretch == Stretch((0.0,) * 3, (100.0,) * 3)


@pytest.mark.parametrize("text", ["", "5", "1,2,3", "a,b", "5,5", "9,1", "0,inf", "nan,1"])
def test_a_range_that_is_none_is_refused(text: str, eight_bit: str) -> None:
    with pytest.raises(UsageError, match=r"--scale .*: give MIN,MAX"):
        plan(eight_bit, eight_bit, scale=text)


@pytest.mark.parametrize("scale", [None, "0,3000"])
def test_bytes_beside_another_type_stay_as_they_are(scale: str | None, eight_bit: str, sixteen_bit: str) -> None:
    pair = plan(eight_bit, sixteen_bit, scale=scale)
    assert pair.t1.stretch is None
    own = percentile_stretch(SIXTEEN_BIT.reshape(3, -1))
    assert pair.t2.stretch == (own if scale is None else Stretch((0.0,) * 3, (3000.0,) * 3))
    assert "one scene is uint8 and stays as it is, the other is scaled by itself: colours may differ" in pair.notes


def test_declared_scale_and_offset_are_applied(sixteen_bit: str, tmp_path: Path) -> None:
    scaled = write(tmp_path / "b.tif", SIXTEEN_BIT)
    with rasterio.open(scaled, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.5, 2, 1), (-100, 0, 3)
    pair = plan(sixteen_bit, scaled, scale="0,6000", bands="3,2,1")
    with pair.open() as reader:
        got = reader.read_values(pair.grid.window)
    by = np.array([1, 2, 0.5])[:, None, None]
    np.testing.assert_allclose(got.t2, SIXTEEN_BIT[::-1] * by + np.array([3, 0, -100])[:, None, None], rtol=1e-6)
    assert any(note.startswith("T2: declares a scale or an offset, T1 none") for note in pair.notes)


def test_bytes_with_a_declared_scale_are_values_like_any_other(eight_bit: str, tmp_path: Path) -> None:
    scaled = write(tmp_path / "b.tif", noise())
    with rasterio.open(scaled, "r+") as dataset:
        dataset.scales = (0.01,) * 3
    assert plan(scaled, scaled).t1.stretch is not None


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"])
def test_every_type_of_pixel_is_read(dtype: str, tmp_path: Path) -> None:
    stored = (noise() // 2).astype(dtype)
    t1 = write(tmp_path / "a.tif", stored)
    t2 = write(tmp_path / "b.tif", stored, Affine(10, 0, 500_000.5, 0, -10, 5e6))
    pair = plan(t1, t2, scale="0,127.5")
    assert pair.t2.warped
    first, _ = read(pair)
    np.testing.assert_allclose(first, np.clip(stored * 2.0, 0, 255), atol=1e-3)


def test_large_numbers_keep_their_small_differences(tmp_path: Path) -> None:
    stored = (noise() + 1e9).astype(np.float64)
    t1, t2 = (
        write(tmp_path / "a.tif", stored),
        write(tmp_path / "b.tif", stored, Affine(10, 0, 5e5 + 1e-9, 0, -10, 5e6)),
    )
    first, _ = read(plan(t1, t2, scale="1000000000,1000000255"))
    np.testing.assert_allclose(first, noise(), atol=1e-3)


def test_an_image_of_one_value_becomes_black(tmp_path: Path) -> None:
    t1 = write(tmp_path / "a.tif", np.full((3, 90, 120), 500, np.uint16))
    first, second = read(plan(t1, t1))
    assert (first == 0).all() and (second == 0).all()


def test_where_nearly_all_pixels_are_equal_the_extremes_are_taken() -> None:
    sample = np.zeros((3, 1000))
    sample[:, :5] = 7
    sample[1, 5:10] = -3
    assert percentile_stretch(sample) == Stretch((0.0, -3.0, 0.0), (7.0, 7.0, 7.0))


def test_values_without_anything_in_common_are_noted(sixteen_bit: str, tmp_path: Path) -> None:
    pair = plan(sixteen_bit, write(tmp_path / "b.tif", SIXTEEN_BIT + np.uint16(10_000)))
    assert any("nothing in common" in note and "--scale-per-date" in note for note in pair.notes)
    assert not any("nothing in common" in note for note in plan(sixteen_bit, sixteen_bit).notes)


def test_pixels_that_are_all_invalid_are_told_at_once(sixteen_bit: str, tmp_path: Path) -> None:
    nothing = write(tmp_path / "b.tif", np.full((3, 90, 120), np.nan, np.float32))
    with pytest.raises(InputError, match=r"16\.tif and .*b\.tif: no pixel is valid on both dates: .*--mask-t1"):
        plan(sixteen_bit, nothing)


def test_a_few_valid_pixels_between_the_windows_of_the_first_sample_are_found(tmp_path: Path) -> None:
    values = np.zeros((3, 1500, 1500), np.uint16)
    first = list(sample_windows(Grid(None, ORIGIN, 1500, 1500), *SAMPLINGS[0]))
    assert not any(w.row_off <= 140 < w.row_off + w.height and w.col_off <= 140 < w.col_off + w.width for w in first)
    values[:, 130:190, 130:190] = 77
    t1 = write(tmp_path / "a.tif", values, nodata=0)
    assert plan(t1, t1).t1.stretch == Stretch((77.0,) * 3, (77.0,) * 3)


@pytest.mark.parametrize("shape", [(1, 1), (100, 3000), (1024, 1024), (20_000, 50_000)])
def test_a_sample_is_bounded_and_inside_and_reaches_the_corners(shape: tuple[int, int]) -> None:
    grid = Grid(None, ORIGIN, *shape)
    for count, side in SAMPLINGS:
        windows = list(sample_windows(grid, count, side))
        assert all(grid.contains(window) for window in windows)
        assert sum(window.width * window.height for window in windows) <= min(shape[0] * shape[1], 2**20)
        assert (windows[0].row_off, windows[0].col_off) == (0, 0)
        last = windows[-1]
        assert (last.row_off + last.height, last.col_off + last.width) == shape


def test_a_small_grid_is_sampled_pixel_by_pixel() -> None:
    seen = np.zeros((700, 900), int)
    for window in sample_windows(Grid(None, ORIGIN, 700, 900), *SAMPLINGS[0]):
        seen[window.toslices()] += 1
    assert (seen == 1).all()
