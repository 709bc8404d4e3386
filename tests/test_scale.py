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
"""Memory after the first tenth of the tiles, over that before, at most: 1.02 was seen on 100,000 x 16,384 pixels. What
arrays of a few megabytes leave between each other in the heap is not the same twice."""

MOST_DISK_OVER_PRODUCTS = 3.5


def seen(folder: Path, width: int, height: int, workers: int) -> dict[str, Any]:
    """What examples/scale.py sees of a run on a sparse pair that declares no nodata, with change everywhere."""
    arguments = [str(folder), *map(str, (width, height, workers))]
    told = subprocess.run([sys.executable, str(SCALE), *arguments], check=True, capture_output=True, text=True).stdout
    with rasterio.open(folder / "out" / "change.tif") as file:
        assert file.shape == (height, width)
    return dict(json.loads(told))


def check(what: dict[str, Any]) -> None:
    assert what["peak_gigabytes_per_worker"] < MOST_GIGABYTES_PER_WORKER
    early, late = what["gigabytes_early_and_late"]["tiles"]
    assert late < FLAT * early
    assert what["disk_over_products"] < MOST_DISK_OVER_PRODUCTS


def test_memory_and_disk_of_a_run_are_seen(tmp_path: Path) -> None:
    what = seen(tmp_path, 1200, 900, 1)
    assert what["polygons"] > 100
    assert what["gigabytes_early_and_late"].keys() == {"tiles", "rasters", "polygons"}
    assert 0.1 < what["peak_gigabytes_per_worker"] < MOST_GIGABYTES_PER_WORKER
    assert 1 <= what["disk_over_products"] < MOST_DISK_OVER_PRODUCTS


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_a_scene_of_20000_pixels_a_side(tmp_path: Path, workers: int) -> None:
    check(seen(tmp_path, 20_000, 20_000, workers))


@pytest.mark.long
def test_memory_does_not_grow_with_a_scene_100000_pixels_wide(tmp_path: Path) -> None:
    check(seen(tmp_path, 100_000, 16_384, 2))
