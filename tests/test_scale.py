"""Scenes far larger than memory allows for at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio

SCALE = Path(__file__).parents[1] / "examples" / "scale.py"
MOST_GIGABYTES_PER_WORKER = 2.5
FLAT = 1.05
"""Memory after the first tenth of the tiles, in whatever stage, over that before, at most: 1.02 was seen on 100,000 x
16,384 pixels. What arrays of a few megabytes leave between each other in the heap is not the same twice."""

MOST_DISK_OVER_PRODUCTS = 3.5


def seen(folder: Path, width: int, height: int, workers: int, pair: str = "empty") -> dict[str, Any]:
    """What examples/scale.py sees of a run on one of its pairs."""
    arguments = [str(folder), *map(str, (width, height, workers)), pair]
    told = subprocess.run([sys.executable, str(SCALE), *arguments], check=True, capture_output=True, text=True).stdout
    with rasterio.open(folder / "out" / "change.tif") as file:
        assert file.shape == (height, width)
    return dict(json.loads(told))


def check(what: dict[str, Any]) -> None:
    assert what["peak_gigabytes_per_worker"] < MOST_GIGABYTES_PER_WORKER
    first_tenth = what["gigabytes_early_and_late"]["tiles"][0]
    for stage, (early, late) in what["gigabytes_early_and_late"].items():
        assert max(early, late) < FLAT * first_tenth, stage
    check_disk(what)


def check_disk(what: dict[str, Any]) -> None:
    """Where nothing has changed there are no polygons: the rasters must do by themselves."""
    assert 1 <= what["disk_over_products"] < MOST_DISK_OVER_PRODUCTS
    assert 1 <= what["disk_over_products_without_polygons"] < MOST_DISK_OVER_PRODUCTS


def test_memory_and_disk_of_a_run_are_seen(tmp_path: Path) -> None:
    what = seen(tmp_path, 1200, 900, 1)
    assert what["polygons"] > 100
    assert what["gigabytes_early_and_late"].keys() == {"tiles", "rasters", "polygons"}
    assert 0.1 < what["peak_gigabytes_per_worker"] < MOST_GIGABYTES_PER_WORKER
    check_disk(what)


@pytest.mark.long
@pytest.mark.parametrize(("side", "pair"), [(8192, "patches"), (2048, "places")])
def test_products_of_pixels_that_differ_take_no_more_disk_than_others(tmp_path: Path, side: int, pair: str) -> None:
    what = seen(tmp_path, side, side, 2, pair)
    assert what["polygons"] > 1000
    check_disk(what)


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_a_scene_of_20000_pixels_a_side(tmp_path: Path, workers: int) -> None:
    check(seen(tmp_path, 20_000, 20_000, workers))


@pytest.mark.long
def test_memory_does_not_grow_with_a_scene_100000_pixels_wide(tmp_path: Path) -> None:
    check(seen(tmp_path, 100_000, 16_384, 2))
