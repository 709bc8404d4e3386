"""Makes the pair of scenes that runs are timed on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

SCENES = ("t1.tif", "t2.tif")
ROWS_AT_ONCE = 512
GRAIN = 16
"""Pixels a side of the patches that made-up scenes consist of, under noise of four bits."""


def make_pair(folder: Path, size: int, threads: int) -> None:
    """Two scenes of three bands, deflate, made at the same time, each compressed in so many threads."""
    with ThreadPoolExecutor(len(SCENES)) as pool:
        list(pool.map(lambda seed: _make_scene(folder / SCENES[seed], seed, size, threads), range(len(SCENES))))


def _make_scene(path: Path, seed: int, size: int, threads: int) -> None:
    random = np.random.default_rng(seed)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", height=size, width=size, crs="EPSG:32631",
        transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), tiled=True, compress="deflate",
        interleave="pixel", num_threads=threads,
    ) as file:  # fmt: skip
        for top in range(0, size, ROWS_AT_ONCE):
            height = min(ROWS_AT_ONCE, size - top)
            file.write(_noise(random, height, size), window=Window(0, top, size, height))


def _noise(random: np.random.Generator, height: int, width: int) -> Any:
    shape = 3, -(-height // GRAIN), -(-width // GRAIN)
    patches = random.integers(0, 240, shape, np.uint8).repeat(GRAIN, 1).repeat(GRAIN, 2)[:, :height, :width]
    return patches + random.integers(0, 16, patches.shape, np.uint8)
