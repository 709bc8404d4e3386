"""Times change polygons of a large raster against one call of GDAL on the whole of it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.features
from rasterio.windows import Window

from geofcs.bench.fresh import in_a_fresh_process
from geofcs.classes import CLASSES_TAG, NO_CHANGE, SECOND, scheme_to_json

if TYPE_CHECKING:
    from geofcs.bench.timing import Note

CHANGE, POLYGONS = "change.tif", "changes.gpkg"
ROWS_AT_ONCE = 512
GRAIN = 8
"""Pixels a side of the patches of one code."""

UNCHANGED = 10
"""How many times as often as a code "no change" is met: some three quarters of SECOND's patches are changes."""


@dataclass(frozen=True)
class Polygonized:
    """How many polygons were made, in how many core seconds, libraries loaded, and the most memory of the process."""

    polygons: int
    core_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class PolygonTimes:
    """Polygons of a raster of `size` x `size` pixels in a file: by geofcs in `threads` threads, and at once by GDAL.

    The first are read, found, drawn, checked, written with an index and read back; the second counted and dropped.
    """

    size: int
    threads: int
    ours: Polygonized
    at_once: Polygonized

    @property
    def ratio(self) -> float:
        """Core time over that of the single call."""
        return self.ours.core_seconds / self.at_once.core_seconds

    def as_json(self) -> dict[str, Any]:
        """Everything, with the ratio."""
        return {**asdict(self), "over_single_call": self.ratio}


def time_polygons(size: int, threads: int, note: Note) -> PolygonTimes:
    """Make a raster and its polygons in both ways, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="geofcs-bench-") as name:
        change = Path(name) / CHANGE
        note(f"a raster of {size} x {size} pixels is made")
        make_codes(change, size)
        note(f"geofcs polygonize, {size} x {size}")
        (count, core_seconds), used = in_a_fresh_process(_by_blocks, change, threads)
        ours = Polygonized(count, core_seconds, used.peak_bytes)
        note(f"rasterio.features.shapes, {size} x {size}")
        (count, core_seconds), used = in_a_fresh_process(_at_once, change)
        return PolygonTimes(size, threads, ours, Polygonized(count, core_seconds, used.peak_bytes))


def make_codes(path: Path, size: int) -> None:
    """A change raster of patches, each of one from-to code of SECOND or unchanged; neighbours may be alike."""
    random = np.random.default_rng(0)
    codes = [*[NO_CHANGE] * UNCHANGED, *(each.code for each in SECOND.transitions)]
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=SECOND.code_dtype, height=size, width=size, crs="EPSG:32631",
        transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), nodata=SECOND.nodata, tiled=True,
        compress="deflate",
    ) as file:  # fmt: skip
        file.update_tags(**{CLASSES_TAG: scheme_to_json(SECOND)})
        for top in range(0, size, ROWS_AT_ONCE):
            height = min(ROWS_AT_ONCE, size - top)
            patches = random.choice(codes, (-(-height // GRAIN), -(-size // GRAIN))).astype(SECOND.code_dtype)
            pixels = patches.repeat(GRAIN, 0).repeat(GRAIN, 1)[:height, :size]
            file.write(pixels, 1, window=Window(0, top, size, height))


def _by_blocks(change: Path, threads: int) -> tuple[int, float]:
    from geofcs.vector.polygonize import polygonize  # the process of the single call does without

    start = time.process_time()
    made = polygonize(change, change.with_name(POLYGONS), threads=threads)
    return made.polygons, time.process_time() - start


def _at_once(change: Path) -> tuple[int, float]:
    with rasterio.open(change) as file:
        codes, transform = file.read(1), file.transform
    changed = (codes != NO_CHANGE) & (codes != SECOND.nodata)
    start = time.process_time()
    count = sum(1 for _ in rasterio.features.shapes(codes, mask=changed, transform=transform))
    return count, time.process_time() - start
