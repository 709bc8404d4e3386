"""Real pairs come onto one grid as they should; skipped where the folder of real scenes is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geofcs.scene import PairPixels, ScenePair
from tests.scene.rasters import plan


def read(pair: ScenePair) -> PairPixels:
    with pair.open() as reader:
        return reader.read(pair.grid.window)


def likeness(pixels: PairPixels) -> float:
    """Correlation of both dates' brightness at valid pixels."""
    t1, t2 = (date.mean(axis=0)[pixels.valid] for date in (pixels.t1, pixels.t2))
    return float(np.corrcoef(t1, t2)[0, 1])


@pytest.mark.parametrize(
    ("name", "files", "shape", "warped", "alike"),
    [
        ("oscd_abudhabi", ("t1", "t2"), (799, 785), True, 0.7),
        ("oscd_rennes", ("t1", "t2"), (339, 563), False, 0.75),
        ("naip_nd", ("t1", "t2"), (723, 934), True, 0.2),
        ("pucallpa", ("t1", "t2"), (377, 697), False, 0.3),
        ("overlap_crops", ("a", "b"), (149, 122), True, 0.95),
    ],
)
def test_a_pair_lies_on_itself(
    name: str,
    files: tuple[str, str],
    shape: tuple[int, int],
    warped: bool,
    alike: float,
    realdata: Path,
) -> None:
    t1, t2 = (f"{realdata}/{name}/{file}.tif" for file in files)
    pair = plan(t1, t2)
    assert pair.grid.shape == shape
    assert (pair.t1.warped, pair.t2.warped) == (False, warped)
    assert pair.t1.source.bands == pair.t2.source.bands == (1, 2, 3)
    pixels = read(pair)
    assert pixels.valid.mean() > 0.99
    assert pixels.t1.std() > 10 and pixels.t2.std() > 10
    in_place = likeness(pixels)
    assert in_place > alike
    moved = PairPixels(pixels.t1, np.roll(pixels.t2, 5, axis=2), pixels.valid & np.roll(pixels.valid, 5, axis=1))
    assert in_place > likeness(moved)


def test_a_cloudy_pair_is_read_as_it_is(realdata: Path) -> None:
    """Clouds cover another part of each date: there is nothing to correlate."""
    pair = plan(f"{realdata}/guiana/t1.tif", f"{realdata}/guiana/t2.tif")
    assert pair.grid.shape == (216, 216) and not pair.t2.warped
    assert read(pair).valid.all()


def test_polygons_of_the_clearing_cut_the_grid(realdata: Path) -> None:
    folder = realdata / "guiana"
    pair = plan(f"{folder}/t1.tif", f"{folder}/t2.tif", aoi=f"{folder}/clearing.geojson")
    assert pair.grid.shape == (14, 14)
    assert 0.4 < read(pair).valid.mean() < 0.8


def test_labels_of_a_pair_lie_on_its_first_scene(realdata: Path) -> None:
    """The published labels have no CRS and T1's size; they serve as a mask here: all of them are nonzero."""
    folder = realdata / "oscd_abudhabi"
    pair = plan(f"{folder}/t1.tif", f"{folder}/t2.tif", mask_t1=f"{folder}/change_1no_2yes.tif", scale="0,4000")
    assert not read(pair).valid.any()
