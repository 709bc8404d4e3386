"""Damaged GeoTIFFs, read as scenes are: `python -m tests.torture.fuzzing COUNT SEED` in a process of limited memory.

Says how they ended as JSON. Whatever is no error of ours, or takes too long, ends it with a traceback.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import resource
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geofcs.errors import GeofcsError
from geofcs.scene import SceneOptions, plan_pair

MEMORY_BYTES = 3 * 2**30
SECONDS_PER_FILE = 20
"""Five, and what a crowded machine needs besides."""

MOST_READ = 2048
"""Damaged files may claim any size: so many pixels a side of each are read."""

KINDS: tuple[dict[str, Any], ...] = (
    {"dtype": "uint8", "count": 3, "compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32},
    {"dtype": "uint16", "count": 3, "compress": "lzw", "nodata": 7, "interleave": "band"},
    {"dtype": "float32", "count": 1, "compress": "zstd", "predictor": 3},
    {"dtype": "uint8", "count": 4, "compress": "packbits", "photometric": "rgb"},
    {"dtype": "uint8", "count": 1, "photometric": "palette"},
    {"dtype": "int16", "count": 3, "BIGTIFF": "YES", "tiled": True, "blockxsize": 16, "blockysize": 16},
    {"dtype": "uint8", "count": 3, "compress": "jpeg", "photometric": "ycbcr", "interleave": "pixel"},
)


def main(count: int, seed: int) -> None:
    """Read `count` damaged files."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    rng = np.random.default_rng(seed)
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = [written(folder / f"{number}.tif", kind) for number, kind in enumerate(KINDS)]
        for content in itertools.islice(damaged(originals, rng), count):
            (folder / "damaged.tif").write_bytes(content)
            faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
            ends[end_of(folder / "damaged.tif", folder / "0.tif")] += 1
            faulthandler.cancel_dump_traceback_later()
    sys.stdout.write(json.dumps(ends))


def end_of(path: Path, other: Path) -> str:
    """How reading a file ends: "read", or the kind of error."""
    try:
        pair = plan_pair(str(path), str(other), SceneOptions(mask_t1=str(path)))
        height, width = pair.grid.shape
        with pair.open() as reader:
            reader.read(Window(0, 0, min(width, MOST_READ), min(height, MOST_READ)))
    except GeofcsError as error:
        assert "\n" not in str(error)
        return type(error).__name__
    return "read"


def written(path: Path, kind: dict[str, Any]) -> bytes:
    """A small GeoTIFF of a kind."""
    pixels = np.random.default_rng(0).integers(0, 200, (kind["count"], 70, 90)).astype(kind["dtype"])
    place = {"crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
        rasterio.open(path, "w", driver="GTiff", height=70, width=90, **kind, **place) as file,
    ):
        file.write(pixels)
        if kind["count"] == 4:
            file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        if kind.get("photometric") == "palette":
            file.write_colormap(1, {index: (index, 0, 255 - index, 255) for index in range(256)})
        if kind["count"] == 3 and kind["dtype"] == "uint8":
            file.write_mask(np.full((70, 90), 255, np.uint8))
        file.update_tags(TIFFTAG_DATETIME="2020:01:02 03:04:05", note="text")
    return path.read_bytes()


def damaged(originals: list[bytes], rng: np.random.Generator) -> Iterator[bytes]:
    """Endlessly: bytes changed in the header or anywhere, numbers in it replaced, parts cut, moved or doubled."""
    while True:
        content = bytearray(originals[rng.integers(len(originals))])
        for _ in range(rng.integers(1, 4)):
            DAMAGES[rng.integers(len(DAMAGES))](content, rng)
        yield bytes(content)


def flip_in_header(content: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(0, min(len(content), 700), rng.integers(1, 6)):
        content[at] = rng.integers(256)


def flip_anywhere(content: bytearray, rng: np.random.Generator) -> None:
    for at in rng.integers(0, len(content), rng.integers(1, 20)):
        content[at] = rng.integers(256)


def replace_number(content: bytearray, rng: np.random.Generator) -> None:
    """An aligned number of the header becomes one that hurts."""
    at = int(rng.integers(0, min(len(content) - 8, 700))) // 2 * 2
    values = (0, 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, len(content), 70_000)
    content[at : at + 4] = struct.pack("<I", values[rng.integers(len(values))])


def cut(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(1, len(content))) :]
    content.extend(bytes(max(0, 16 - len(content))))


def move_part(content: bytearray, rng: np.random.Generator) -> None:
    source, target = rng.integers(0, len(content), 2)
    size = int(rng.integers(1, 200))
    content[target : target + size] = content[source : source + size]


DAMAGES = (flip_in_header, flip_anywhere, replace_number, cut, move_part)

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
