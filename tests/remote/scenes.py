"""Scenes for servers: GeoTIFFs in memory, with noise, sparse internal tiles and honest zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geofcs.scene import ScenePair


@dataclass(frozen=True)
class ServedScene:
    """A GeoTIFF's bytes, and the pixels that are in it, (3, h, w) uint8."""

    content: bytes
    pixels: npt.NDArray[np.uint8]


def served_scene(
    compress: str, side: int = 512, seed: int = 0, nodata: int | None = None, block: int = 64
) -> ServedScene:
    """Noise; in the upper left corner internal tiles that are not there at all, below them stored zeros."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 250, (3, side, side)).astype(np.uint8)
    pixels[:, : 2 * block, : 2 * block] = 0 if nodata is None else nodata
    pixels[:, 2 * block : 3 * block, : 3 * block] = 0
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32631",
        "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000), "tiled": True, "blockxsize": block,
        "blockysize": block, "compress": compress, "sparse_ok": True, "nodata": nodata,
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            for row in range(0, side, block):
                left = 2 * block if row < 2 * block else 0
                part = pixels[:, row : row + block, left:]
                file.write(part, window=Window(left, row, part.shape[2], part.shape[1]))
        return ServedScene(bytes(memory.getbuffer()), pixels)


def windows(side: int, size: int, count: int, seed: int = 0) -> list[Window]:
    """Windows anywhere, and of any alignment."""
    rng = np.random.default_rng(seed)
    return [Window(int(col), int(row), size, size) for row, col in rng.integers(0, side - size + 1, (count, 2))]


def wrong_pixels(pair: ScenePair, truth: npt.NDArray[np.uint8], wanted: list[Window]) -> int:
    """Reads windows through a reader of their own and counts those that hold anything but the truth."""
    wrong = 0
    with pair.open() as reader:
        for window in wanted:
            rows, cols = window.toslices()
            expected = truth[:, rows, cols]
            found = reader.read_values(window)
            zero = (expected == 0).any(axis=0)
            wrong += not ((found.t1 == expected).all() and (found.valid | zero).all())
    return wrong
