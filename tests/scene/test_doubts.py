"""What looks doubtful about a pair is told, and what does not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

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
