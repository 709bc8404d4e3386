"""What is kept in memory: what crosses seams, and nothing else."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from geofcs.bench.polygons import time_polygons
from geofcs.vector.areas import PixelAreas
from geofcs.vector.stream import RegionStream
from geofcs.vector.windows import Block
from tests.vector.rasters import NODATA, Codes

WIDTH, SIDE = 256, 64


def peak_megabytes(codes: Codes) -> float:
    """The most that the stream needs for a raster that is there already."""
    padded = np.pad(codes, 1)

    def read(block: Block) -> tuple[Codes, None]:
        height, width = block.window_shape
        return padded[block.top : block.top + height, block.left : block.left + width], None

    stream = RegionStream(read, PixelAreas(codes.shape[:2], np.ones((1, 1))), NODATA, 0.0)
    tracemalloc.start()
    try:
        for _ in stream.regions(SIDE, lambda _pixels: None):
            pass
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_regions_are_let_go_when_they_are_complete() -> None:
    noise = np.random.default_rng(0).integers(1, 37, (4 * SIDE, WIDTH)).astype(np.uint8)
    peak_megabytes(noise)
    assert peak_megabytes(np.tile(noise, (8, 1))) < 1.1 * peak_megabytes(noise)


def test_a_region_that_goes_on_keeps_nothing_but_its_corners() -> None:
    bars = np.zeros((16 * SIDE, WIDTH), np.uint8)
    bars[:, ::4] = 1
    teeth = bars.copy()
    teeth[::2, 1::4] = 1
    corners = 4 * WIDTH // 4 * len(teeth) // 2
    assert peak_megabytes(teeth) - peak_megabytes(bars) < corners * 250 / 1e6


@pytest.mark.long
def test_three_million_polygons_need_less_than_a_gigabyte_and_twice_the_time_of_one_call() -> None:
    times = time_polygons(16_384, 2, lambda _: None)
    assert times.ours.polygons == times.at_once.polygons > 3_000_000
    assert times.ours.peak_bytes < 1e9
    assert times.ratio < 2
