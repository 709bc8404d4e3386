"""Which pixels count: nodata, alpha, masks, NaN, clouds, and what invalid pixels do to their neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from tests.scene.rasters import ORIGIN, T1_SHAPE, UTM31, noise, plan, set_colours, values, write

HALF_A_PIXEL = Affine(10, 0, 500_005, 0, -10, 4_999_995)
"""ORIGIN moved by half a pixel both ways."""

Bad = npt.NDArray[np.bool_]


@pytest.fixture
def t1(tmp_path: Path) -> str:
    return write(tmp_path / "t1.tif", noise())


@pytest.fixture
def bad() -> Bad:
    """Some pixels, alone and in a block."""
    bad = np.zeros(T1_SHAPE, bool)
    bad[20:50, 30:90] = True
    bad[70, 100] = bad[0, 0] = bad[-1, -1] = True
    return bad


def with_nodata(path: Path, bad: Bad, transform: Affine) -> str:
    return write(path, np.where(bad, 0, noise()), transform, nodata=0)


def with_nodata_in_one_band(path: Path, bad: Bad, transform: Affine) -> str:
    bands = noise()
    bands[1][bad] = 0
    return write(path, bands, transform, nodata=0)


def with_alpha(path: Path, bad: Bad, transform: Affine) -> str:
    bands = np.concatenate([noise(), np.where(bad, 0, 255)[None].astype(np.uint8)])
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return set_colours(write(path, bands, transform), colours)


def with_inner_mask(path: Path, bad: Bad, transform: Affine) -> str:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, noise(), transform)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~bad)
    return str(path)


def with_mask_file(path: Path, bad: Bad, transform: Affine) -> str:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        write(path, noise(), transform)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~bad)
    assert path.with_name(path.name + ".msk").exists()
    return str(path)


def with_nan(path: Path, bad: Bad, transform: Affine) -> str:
    return write(path, np.where(bad, np.nan, noise(dtype="float32")).astype(np.float32), transform)


def with_nan_in_one_band(path: Path, bad: Bad, transform: Affine) -> str:
    bands = noise(dtype="float32")
    bands[2][bad] = np.nan
    return write(path, bands, transform)


def with_infinity(path: Path, bad: Bad, transform: Affine) -> str:
    return write(path, np.where(bad, -np.inf, noise(dtype="float32")).astype(np.float32), transform)


def with_nan_nodata(path: Path, bad: Bad, transform: Affine) -> str:
    return write(path, np.where(bad, np.nan, noise(dtype="float32")).astype(np.float32), transform, nodata=np.nan)


def with_lowest_float(path: Path, bad: Bad, transform: Affine) -> str:
    lowest = float(np.finfo(np.float32).min)
    return write(path, np.where(bad, lowest, noise(dtype="float32")).astype(np.float32), transform, nodata=lowest)


MARKINGS = [
    with_nodata, with_nodata_in_one_band, with_alpha, with_inner_mask, with_mask_file, with_nan, with_nan_in_one_band,
    with_infinity,
    with_nan_nodata, with_lowest_float,
]  # fmt: skip


@pytest.mark.parametrize("mark", MARKINGS)
def test_marked_pixels_are_invalid_and_no_others(mark: Any, bad: Bad, t1: str, tmp_path: Path) -> None:
    pair = plan(t1, mark(tmp_path / "t2.tif", bad, ORIGIN), scale="0,255")
    assert not pair.t2.warped
    assert (values(pair).valid == ~bad).all()
    swapped = plan(pair.t2.path, t1, scale="0,255")
    assert (values(swapped).valid == ~bad).all()


@pytest.mark.parametrize("mark", MARKINGS)
def test_resampled_pixels_are_valid_where_the_pixel_they_lie_in_is(
    mark: Any, bad: Bad, t1: str, tmp_path: Path
) -> None:
    """T1's pixel centres lie 0.1 pixels off those of T2, moved by a pixel."""
    pair = plan(t1, mark(tmp_path / "t2.tif", bad, Affine(10, 0, 499_989, 0, -10, 5_000_011)), scale="0,255")
    assert pair.t2.warped
    got = values(pair)
    assert got.valid.shape == (89, 119)
    assert (got.valid == ~bad[1:, 1:]).all()


@pytest.mark.parametrize("mark", MARKINGS)
@pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
def test_valid_pixels_take_nothing_from_invalid_ones(
    resampling: str, mark: Any, bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All valid pixels are 100, so that whatever else comes out comes from an invalid one."""
    monkeypatch.setattr("tests.scene.test_validity.noise", lambda dtype="uint8": np.full((3, *T1_SHAPE), 100, dtype))
    t1 = write(tmp_path / "t1.tif", noise())
    pair = plan(t1, mark(tmp_path / "t2.tif", bad, HALF_A_PIXEL), scale="0,255", resampling=resampling)
    got = values(pair)
    assert got.valid.any() and not got.valid.all()
    np.testing.assert_allclose(got.t2[:, got.valid], 100, atol=1e-4)


@pytest.mark.parametrize("mark", MARKINGS)
def test_invalid_pixels_are_finite(mark: Any, bad: Bad, tmp_path: Path) -> None:
    for transform in (ORIGIN, HALF_A_PIXEL):
        pair = plan(mark(tmp_path / "a.tif", bad, ORIGIN), mark(tmp_path / "b.tif", bad, transform))
        with pair.open() as reader:
            pixels = reader.read(pair.grid.window)
        for date in (pixels.t1, pixels.t2):
            assert date.dtype == np.float32 and np.isfinite(date).all()
            assert date.min() >= 0 and date.max() <= 255


def test_a_pixel_is_valid_only_if_it_is_on_both_dates(bad: Bad, tmp_path: Path) -> None:
    other = np.roll(bad, 10, axis=1)
    t1, t2 = with_nodata(tmp_path / "a.tif", bad, ORIGIN), with_alpha(tmp_path / "b.tif", other, ORIGIN)
    assert (values(plan(t1, t2)).valid == ~(bad | other)).all()


def test_alpha_counts_besides_nodata(bad: Bad, t1: str, tmp_path: Path) -> None:
    bands = np.concatenate([noise(), np.full((1, *T1_SHAPE), 255, np.uint8)])
    bands[2][bad] = 7
    bands[3, 60:65] = 0
    t2 = set_colours(write(tmp_path / "t2.tif", bands, nodata=7), tuple(ColorInterp(code) for code in (3, 4, 5, 6)))
    expected = (bands[:3] != 7).all(axis=0)
    expected[60:65] = False
    assert (values(plan(t1, t2)).valid == expected).all()


def test_zeros_of_a_sparse_file_without_nodata_are_valid(t1: str, tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "t2.tif", "w", driver="GTiff", count=3, height=90, width=120, dtype="uint8", crs=UTM31,
        transform=ORIGIN, sparse_ok=True, tiled=True, blockxsize=64, blockysize=64,
    ):  # fmt: skip
        pass
    got = values(plan(t1, str(tmp_path / "t2.tif")))
    assert got.valid.all() and (got.t2 == 0).all()


@pytest.mark.parametrize("nodata", ["-99", "300", "0.5"])
def test_a_nodata_value_that_the_pixels_cannot_hold_marks_none(nodata: str, t1: str, tmp_path: Path) -> None:
    t2 = Path(write(tmp_path / "t2.tif", noise(), nodata=200))
    content = t2.read_bytes()
    assert content.count(b"200\0") == 1
    t2.write_bytes(content.replace(b"200\0", nodata.encode() + b"\0"))
    pair = plan(t1, str(t2))
    assert pair.t2.source.nodata is None and values(pair).valid.all()


def cloud(path: Path, bad: Bad, transform: Affine = ORIGIN, crs: str | None = UTM31, dtype: str = "uint8") -> str:
    return write(path, bad.astype(dtype) * 3, transform if crs else None, crs)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("date", ["mask_t1", "mask_t2"])
def test_nonzero_pixels_of_a_mask_are_left_out(dtype: str, date: str, bad: Bad, t1: str, tmp_path: Path) -> None:
    pair = plan(t1, write(tmp_path / "t2.tif", noise()), **{date: cloud(tmp_path / "cloud.tif", bad, dtype=dtype)})
    assert (values(pair).valid == ~bad).all()


def test_a_mask_on_another_grid_is_taken_by_the_nearest_pixel(t1: str, tmp_path: Path) -> None:
    coarse = np.zeros((9, 12), bool)
    coarse[3, 4] = True
    mask = cloud(tmp_path / "cloud.tif", coarse, Affine(100, 0, 500_000, 0, -100, 5e6))
    expected = np.ones(T1_SHAPE, bool)
    expected[30:40, 40:50] = False
    assert (values(plan(t1, t1, mask_t1=mask)).valid == expected).all()


def test_a_mask_in_another_crs_is_taken_too(t1: str, tmp_path: Path) -> None:
    all_bad = np.ones((200, 300), bool)
    mask = cloud(tmp_path / "cloud.tif", all_bad, Affine(1e-4, 0, 2.999, 0, -1e-4, 45.16), "EPSG:4326")
    assert not values(plan(t1, t1, mask_t2=mask)).valid.any()


def test_outside_a_mask_nothing_is_left_out(t1: str, tmp_path: Path) -> None:
    mask = cloud(tmp_path / "cloud.tif", np.ones((10, 20), bool), Affine(10, 0, 500_100, 0, -10, 4_999_900))
    expected = np.ones(T1_SHAPE, bool)
    expected[10:20, 10:30] = False
    assert (values(plan(t1, t1, mask_t1=mask)).valid == expected).all()


def test_a_mask_without_crs_lies_on_its_own_scene(bad: Bad, t1: str, tmp_path: Path) -> None:
    t2 = write(tmp_path / "t2.tif", noise(), Affine(10, 0, 500_100, 0, -10, 4_999_950))
    pair = plan(t1, t2, mask_t2=cloud(tmp_path / "cloud.tif", bad, crs=None))
    assert (values(pair).valid == ~bad[: pair.grid.height, : pair.grid.width]).all()


def test_masks_of_images_without_crs_lie_on_them(bad: Bad, tmp_path: Path) -> None:
    t1, t2 = (write(tmp_path / name, noise(), None, None) for name in ("a.tif", "b.tif"))
    pair = plan(t1, t2, assume_aligned=True, mask_t1=cloud(tmp_path / "cloud.tif", bad))
    assert (values(pair).valid == ~bad).all()


def test_windows_see_the_same_validity_as_the_whole(bad: Bad, tmp_path: Path) -> None:
    t1, t2 = with_nan(tmp_path / "a.tif", bad, ORIGIN), with_inner_mask(tmp_path / "b.tif", bad, HALF_A_PIXEL)
    pair = plan(t1, t2, mask_t1=cloud(tmp_path / "c.tif", np.roll(bad, 40, axis=0), HALF_A_PIXEL))
    whole = values(pair).valid
    with pair.open() as reader:
        for window in (Window(3, 5, 40, 30), Window(60, 17, 59, 60), Window(118, 88, 1, 1)):
            rows, cols = window.toslices()
            assert (reader.read(window).valid == whole[rows, cols]).all()
