"""What looks doubtful about a pair is told, and what does not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage

from geofcs.scene import ScenePair
from tests.scene.rasters import ORIGIN, UTM31, noise, plan, write


def noted(pair: ScenePair, *parts: str) -> list[str]:
    """The notes that have all of these parts."""
    return [note for note in pair.notes if all(part in note for part in parts)]


@pytest.mark.parametrize(
    ("fill", "dtype", "share", "told"),
    [
        (0, "uint16", 0.3, True),
        (-9999, "int16", 0.3, True),
        (65535, "uint16", 0.3, True),
        (-32768, "float32", 0.3, True),
        (0, "uint16", 0.005, False),
        (7, "uint16", 0.3, False),
    ],
)
def test_values_that_look_like_fill_and_are_not_declared_are_told(
    tmp_path: Path, fill: int, dtype: str, share: float, told: bool
) -> None:
    pixels = noise(dtype=dtype) + np.array(100, dtype)
    pixels[:, : int(90 * share) or 1, : 120 if share > 0.1 else 60] = fill
    t1, t2 = write(tmp_path / "t1.tif", pixels), write(tmp_path / "t2.tif", noise(dtype=dtype))
    found = noted(plan(t1, t2), "T1: ", f"are {fill} in every band", f"-a_nodata {fill}", "--mask-t1")
    assert bool(found) == told
    assert not noted(plan(t1, t2), "T2: ", "in every band")


def test_fill_that_is_declared_is_no_doubt(tmp_path: Path) -> None:
    pixels = noise(dtype="uint16")
    pixels[:, :30] = 0
    t1 = write(tmp_path / "t1.tif", pixels, nodata=0)
    assert not noted(plan(t1, t1), "in every band")


@pytest.mark.parametrize(
    ("crs", "pixel", "told"), [("EPSG:25831", 0.5, True), ("EPSG:25831", 10.0, False), (UTM31, 0.5, False)]
)
def test_a_datum_that_is_known_to_a_metre_is_told_where_pixels_are_finer(
    tmp_path: Path, crs: str, pixel: float, told: bool
) -> None:
    """ETRS89 moves with Europe, WGS 84 does not: PROJ takes them for the same, to within a metre."""
    place = Affine(pixel, 0, 600_000, 0, -pixel, 5_000_000)
    t1 = write(tmp_path / "t1.tif", noise(), place)
    pair = plan(t1, write(tmp_path / "t2.tif", noise(), place, crs))
    assert len(noted(pair, "T2: is brought from EPSG:25831 to EPSG:32631 to within 1 m, 2.0 pixels")) == told
    assert len(noted(pair, "is brought from")) == told


def test_another_zone_of_one_datum_is_no_doubt(tmp_path: Path) -> None:
    east = Affine(0.5, 0, 600_000, 0, -0.5, 5_000_000)
    west = Affine(0.5, 0, 128_250, 0, -0.5, 5_010_150)
    t1 = write(tmp_path / "t1.tif", noise(), east)
    pair = plan(t1, write(tmp_path / "t2.tif", noise((800, 800)), west, "EPSG:32632"))
    assert pair.t2.warped
    assert not noted(pair, "is brought from")


def test_scenes_that_share_next_to_nothing_are_told(tmp_path: Path) -> None:
    t1 = write(tmp_path / "t1.tif", noise())
    beside = write(tmp_path / "t2.tif", noise(), ORIGIN @ Affine.translation(119, 89))
    far = write(tmp_path / "t3.tif", noise(), ORIGIN @ Affine.translation(60, 0))
    assert noted(plan(t1, beside), "T1 and T2 share 1 x 1 pixels, 0.0093 % of either scene")
    assert not noted(plan(t1, far), "share")
    assert not noted(plan(t1, t1), "share")


def turned(scene: np.ndarray, degrees: float, fill: int, order: int = 1) -> np.ndarray:
    """A scene turned on its grid, fill around it, with edges as interpolation leaves them."""
    return np.stack([ndimage.rotate(band, degrees, order=order, cval=fill, mode="constant") for band in scene])


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("degrees", [2, 12, 45])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_collars_of_a_turned_scene_of_bytes_are_told(tmp_path: Path, fill: int, degrees: float, order: int) -> None:
    pixels = turned(noise((300, 400)), degrees, fill, order)
    t1 = write(tmp_path / "t1.tif", pixels)
    pair = plan(t1, write(tmp_path / "t2.tif", noise(pixels.shape[1:], seed=1)))
    white = " -white" if fill else ""
    assert noted(pair, f"T1: its corners are {fill} in every band", f"nearblack{white} -setalpha", "--mask-t1")
    assert not noted(pair, "T2: ", "in every band")


def test_a_frame_around_a_scene_is_told_and_what_is_declared_is_not(tmp_path: Path) -> None:
    pixels = noise((300, 400))
    pixels[:, 5:-5, 5:-5], frame = noise((290, 390)), pixels * 0
    frame[:, 5:-5, 5:-5] = pixels[:, 5:-5, 5:-5]
    t1 = write(tmp_path / "t1.tif", frame)
    assert noted(plan(t1, t1), "T1: its corners are 0")
    assert noted(plan(t1, t1), "T2: its corners are 0")
    declared = write(tmp_path / "t2.tif", frame, nodata=0)
    assert not noted(plan(declared, declared), "its corners")
    assert not noted(plan(t1, t1, mask_t1=declared), "T1: its corners")


def water(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Black water: 0 almost everywhere, and 1 or 2 where the sensor's noise has it so."""
    return np.random.default_rng(seed).choice([0, 1, 2], (3, *shape), p=[0.98, 0.015, 0.005]).astype(np.uint8)


def test_black_water_and_white_snow_are_no_doubt(tmp_path: Path) -> None:
    """Around an island; along one side without any noise; and as a lake with a shore in a corner."""
    island = water((300, 400))
    island[:, 90:210, 120:280] = noise((120, 160))
    coast = noise((300, 400))
    coast[:, 200:] = 0
    rows, cols = np.mgrid[:300, :400]
    lakes = noise((300, 400))
    lakes[:, np.hypot(rows, cols) + 6 * np.sin(cols / 3) < 50] = 0
    lakes[:, np.hypot(rows - 299, cols - 399) < 40] = 0
    for number, scene in enumerate((island, 255 - island, coast, 255 - coast, lakes, 255 - lakes)):
        path = write(tmp_path / f"{number}.tif", scene)
        assert not noted(plan(path, path), "its corners"), number


@pytest.mark.parametrize(
    ("crs", "pixel", "north", "told"),
    [
        ("EPSG:4326", (1e-4, 1e-4), 60, "5.58 m wide and 11.1 m high"),
        ("EPSG:4326", (2e-4, 1e-4), 60, None),
        ("EPSG:4326", (1e-4, 1e-4), 20, None),
        (UTM31, (10, 10), 5_000_000, None),
        (UTM31, (10, 20), 5_000_000, "10 m wide and 20 m high"),
    ],
)
def test_pixels_that_are_not_square_on_the_ground_are_told(
    tmp_path: Path, crs: str, pixel: tuple[float, float], north: float, told: str | None
) -> None:
    west = 3 if crs == "EPSG:4326" else 500_000
    t1 = write(tmp_path / "t1.tif", noise(), Affine(pixel[0], 0, west, 0, -pixel[1], north), crs)
    found = noted(plan(t1, t1), "on the ground")
    assert [told in note and "gdalwarp -t_srs" in note for note in found] == [True] if told else not found
