"""What is kept in memory: what crosses seams, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from geofcs.classes import CLASSES_TAG, SECOND, scheme_to_json
from geofcs.vector.areas import PixelAreas
from geofcs.vector.stream import RegionStream
from geofcs.vector.windows import Block
from tests.vector.rasters import NODATA, TEN_METRES, UTM, Codes

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
def test_three_million_polygons_need_less_than_a_gigabyte(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 255, "tiled": True, "compress": "deflate"}
    size, part = 16_384, 2048
    with rasterio.open(
        tmp_path / "change.tif", "w", height=size, width=size, crs=UTM, transform=TEN_METRES, **profile
    ) as file:
        file.update_tags(**{CLASSES_TAG: scheme_to_json(SECOND)})
        for top in range(0, size, part):
            for left in range(0, size, part):
                patches = random.choice([*[0] * 10, *range(1, 37)], (part // 8, part // 8))
                codes = np.kron(patches, np.ones((8, 8))).astype(np.uint8)
                file.write(codes, 1, window=Window(left, top, part, part))
    script = (
        "import resource, sys; from pathlib import Path; from geofcs.vector.polygonize import polygonize; "
        "made = polygonize(sys.argv[1], Path(sys.argv[2])); "
        "print(made.polygons, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "change.tif"), str(tmp_path / "x.gpkg")]
    polygons, megabytes = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert polygons > 3_000_000
    assert megabytes < 1000
