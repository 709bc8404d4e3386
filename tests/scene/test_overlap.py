"""The common grid of two scenes: what they share, and what is said where they share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from geofcs.errors import InputError, UsageError
from geofcs.scene.alignment import overlap, place
from tests.scene.rasters import ORIGIN, T1_SHAPE, UTM31, coordinates_of, grid_of, noise, plan, values, write

NAMES = ("a.tif", "b.tif")


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (ORIGIN, (500_000, 4_999_100, 501_200, 5_000_000)),
        (Affine(10, 0, 500_300, 0, -10, 4_999_500), (500_300, 4_999_100, 501_200, 4_999_500)),
        (Affine(10, 0, 500_304, 0, -10, 4_999_496), (500_300, 4_999_100, 501_200, 4_999_500)),
        (Affine(10, 0, 500_306, 0, -10, 4_999_494), (500_310, 4_999_100, 501_200, 4_999_490)),
        (Affine(1, 0, 500_304, 0, -1, 4_999_496), (500_300, 4_999_410, 500_420, 4_999_500)),
        (Affine(1000, 0, 400_000, 0, -1000, 5_050_000), (500_000, 4_999_100, 501_200, 5_000_000)),
    ],
)
def test_the_grid_is_made_of_the_pixels_of_the_first_whose_centres_lie_in_the_second(
    transform: Affine, expected: tuple[float, ...], tmp_path: Path
) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(seed=1), transform)
    pair = plan(t1, t2)
    assert pair.grid.bounds == pytest.approx(expected)
    assert pair.grid.offset_in(pair.t1.source.grid) is not None
    assert values(pair).valid.all()


def test_a_rotated_scene_leaves_the_window_around_it(tmp_path: Path) -> None:
    diamond = Affine(5, 5, 500_300, -5, 5, 4_999_500)
    pair = plan(write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise((40, 40)), diamond))
    assert pair.grid.bounds == pytest.approx((500_300, 4_999_300, 500_700, 4_999_700))
    valid = values(pair).valid
    assert valid.mean() == pytest.approx(0.5, abs=0.03)
    assert not valid[0, 0] and not valid[0, -1] and not valid[-1, 0] and not valid[-1, -1]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90)),
        ("EPSG:3857", Affine(1000, 0, -2e7, 0, -1000, 2e7)),
        ("EPSG:3035", Affine(1000, 0, 2_500_000, 0, -1000, 5_500_000)),
    ],
)
def test_a_scene_of_the_whole_world_holds_a_small_one(crs: str, transform: Affine) -> None:
    world = grid_of(crs, transform, (40_000, 40_000) if crs != "EPSG:4326" else (1800, 3600))
    assert overlap(grid_of(UTM31, ORIGIN), world, NAMES) == grid_of(UTM31, ORIGIN).window


def test_a_small_scene_is_found_in_one_of_the_whole_world() -> None:
    world = grid_of("EPSG:4326", Affine(0.001, 0, -180, 0, -0.001, 90), (180_000, 360_000))
    window = overlap(world, grid_of(UTM31, ORIGIN), NAMES)
    assert (window.col_off, window.row_off) == (183_000, 44_847) and (window.width, window.height) == (15, 8)


@pytest.mark.parametrize(
    ("crs", "transform", "extents"),
    [
        (UTM31, Affine(10, 0, 501_200, 0, -10, 5e6), r"\(500000, .*\) and \(501200, .*\) in EPSG:32631"),
        (UTM31, Affine(10, 0, 501_196, 0, -10, 5e6), r"\(500000, .*\) and \(501196, .*\) in EPSG:32631"),
        ("EPSG:32632", ORIGIN, r"\(3, 45.1\d*, 3.0\d*, 45.1\d*\) and \(9, .*\) in EPSG:4326"),
        ("EPSG:4326", Affine(1e-4, 0, 150, 0, -1e-4, -33), r"and \(150, .*, -33\) in EPSG:4326"),
        ("EPSG:32601", ORIGIN, r"and \(-177, .*\) in EPSG:4326"),
        ("EPSG:3031", Affine(100, 0, 0, 0, -100, 0), r"in EPSG:4326"),
    ],
)
def test_scenes_apart_are_refused_with_both_extents_in_one_crs(
    crs: str, transform: Affine, extents: str, tmp_path: Path
) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), transform, crs)
    with pytest.raises(InputError, match=r"a\.tif and .*b\.tif do not overlap, their extents are .*" + extents):
        plan(t1, t2)


def test_a_scene_across_the_antimeridian_meets_one_beside_it() -> None:
    across = grid_of("EPSG:32660", Affine(10, 0, 800_000, 0, -10, 0), (2000, 4000))
    beside = grid_of("EPSG:4326", Affine(1e-3, 0, 179.5, 0, -1e-3, 0), (100, 400))
    window = overlap(beside, across, NAMES)
    assert window.width > 150


def test_what_a_projection_tears_apart_is_refused_with_a_cure() -> None:
    across = grid_of("EPSG:32660", Affine(10, 0, 800_000, 0, -10, 0), (2000, 4000))
    world = grid_of("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90), (1800, 3600))
    with pytest.raises(InputError, match=r"b\.tif cannot be brought onto the pixels of a\.tif: .*gdalwarp -t_srs"):
        overlap(world, across, NAMES)


@pytest.mark.parametrize("side", [0.04, 2500])
def test_pixel_sizes_too_far_apart_are_refused(side: float) -> None:
    with pytest.raises(InputError, match=r"b\.tif: its pixels are too far in size .*gdalwarp -tr"):
        place(grid_of(UTM31, Affine(side, 0, 500_003, 0, -side, 5e6)), grid_of(UTM31, ORIGIN), None, "b.tif")


def test_a_scene_without_crs_is_refused_with_the_options_there_are(tmp_path: Path) -> None:
    with_crs, without = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), crs=None)
    for pair in ((with_crs, without), (without, with_crs)):
        with pytest.raises(InputError, match=r"b\.tif: has no CRS: say which with --assume-crs EPSG:\.\.\.$"):
            plan(*pair)
    other = write(tmp_path / "c.tif", noise(), crs=None)
    with pytest.raises(InputError, match=r"b\.tif: has no CRS: .*, or --assume-aligned if both show the same pixels"):
        plan(without, other)


def test_an_assumed_crs_is_for_scenes_without_one(tmp_path: Path) -> None:
    with_crs, without = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), crs=None)
    pair = plan(without, with_crs, assume_crs=UTM31)
    assert not pair.t2.warped and pair.grid.crs == UTM31
    assert "T1: has no CRS, EPSG:32631 is assumed" in pair.notes
    assert not any("assumed" in note for note in plan(with_crs, with_crs, assume_crs="EPSG:4326").notes)
    with pytest.raises(UsageError, match="--assume-crs nonsense: is no CRS: write it as EPSG:32631"):
        plan(without, with_crs, assume_crs="nonsense")


def test_equal_images_without_crs_are_compared_pixel_by_pixel(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise(), None, None), write(tmp_path / "b.tif", noise(seed=1), crs=None)
    pair = plan(t1, t2, assume_aligned=True)
    assert pair.grid.crs is None and pair.grid.transform == Affine.identity() and pair.grid.shape == T1_SHAPE
    assert (values(pair).t2 == noise(seed=1)).all()


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (T1_SHAPE, {}, r"a\.tif: has no CRS and no position on the earth: .*-a_ullr, or --assume-aligned"),
        (T1_SHAPE, {"assume_crs": UTM31}, r"a\.tif: has no CRS and no position .*-a_ullr"),
        ((80, 120), {}, r"a\.tif: has no CRS and no position on the earth: give it a place with .*-a_ullr$"),
        ((80, 120), {"assume_aligned": True}, r"a\.tif: .*--assume-aligned is for two images of one size"),
    ],
)
def test_images_without_position_need_to_be_equal_and_to_be_said_so(
    shape: tuple[int, int], options: dict[str, bool | str], message: str, tmp_path: Path
) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise(), None, None), write(tmp_path / "b.tif", noise(shape), None, None)
    with pytest.raises(InputError, match=message):
        plan(t1, t2, **options)


def test_a_crs_without_a_position_places_nothing(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise(), None, UTM31), write(tmp_path / "b.tif", noise())
    with pytest.raises(InputError, match=r"a\.tif: has .*no position on the earth"):
        plan(t1, t2)


def test_assuming_alignment_of_placed_scenes_has_no_effect_and_is_noted(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), Affine(10, 0, 500_100, 0, -10, 5e6))
    pair = plan(t1, t2, assume_aligned=True)
    assert pair.grid.shape == (90, 110)
    assert "--assume-aligned has no effect: both scenes have a CRS" in pair.notes


def test_ground_control_points_are_no_grid(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(), None, None)
    with rasterio.open(path, "r+") as dataset:
        corners = [(0, 0, 3, 45), (0, 120, 3.1, 45), (90, 0, 3, 44.9), (90, 120, 3.1, 44.9)]
        dataset.gcps = [GroundControlPoint(*corner) for corner in corners], "EPSG:4326"
    with pytest.raises(InputError, match=r"a\.tif: is placed by ground control points or RPCs only: .*gdalwarp"):
        plan(path, write(tmp_path / "b.tif", noise()))


def test_pixels_without_extent_are_refused(tmp_path: Path) -> None:
    flat = write(tmp_path / "a.tif", noise(), Affine(10, 0, 500_000, 10, 0, 5e6))
    with pytest.raises(InputError, match=r"a\.tif: its pixels have no extent"):
        plan(flat, write(tmp_path / "b.tif", noise()))


def test_the_mask_of_another_place_is_refused(tmp_path: Path) -> None:
    t1 = write(tmp_path / "a.tif", noise())
    mask = write(tmp_path / "m.tif", np.ones(T1_SHAPE, np.uint8), Affine(10, 0, 600_000, 0, -10, 5e6))
    with pytest.raises(InputError, match=r"a\.tif and .*m\.tif do not overlap"):
        plan(t1, t1, mask_t1=mask)


def test_a_mask_without_crs_and_of_another_size_is_refused(tmp_path: Path) -> None:
    t1 = write(tmp_path / "a.tif", noise())
    mask = write(tmp_path / "m.tif", np.ones((9, 9), np.uint8), None, None)
    with pytest.raises(InputError, match=r"m\.tif: has no CRS, and not the 120 x 90 pixels of .*a\.tif: give a mask"):
        plan(t1, t1, mask_t2=mask)


def test_coordinates_of_a_grid_within_itself_are_its_pixel_centres() -> None:
    grid = grid_of(UTM31, ORIGIN)
    assert coordinates_of(grid, grid)[0][0, :3].tolist() == [0.5, 1.5, 2.5]
