"""Directories of TIFF files: what GDAL says of the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofcs.tiff import directories, tiles_of

PIXELS = np.random.default_rng(4).integers(0, 9, (700, 1100)).astype(np.uint8)


@pytest.fixture(params=["NO", "YES"], ids=["TIFF", "BigTIFF"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of six tiles with two overviews of two and one."""
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=700, width=1100, dtype="uint8", tiled=True,
        blockxsize=512, blockysize=512, compress="deflate", bigtiff=request.param,
    ) as file:  # fmt: skip
        file.write(PIXELS, 1)
        file.build_overviews([2, 4])
    return tmp_path / "a.tif"


def test_offsets_and_byte_counts_are_those_that_gdal_tells(path: Path) -> None:
    data = path.read_bytes()
    found = directories(data)
    assert [(each.height, each.width) for each in found] == [(700, 1100), (350, 550), (175, 275)]
    for number, each in enumerate(found):
        across = -(-each.width // 512) if number < 2 else each.offsets.count
        level = {"overview_level": number - 1} if number else {}
        with rasterio.open(path, **level) as file:
            for place, pair in enumerate(zip(each.offsets.read(data), each.counts.read(data), strict=True)):
                row, col = divmod(place, across)
                told = (file.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE"))
                assert pair == tuple(map(int, told))


def test_tiles_that_are_moved_are_found_where_they_were_put(path: Path) -> None:
    data = bytearray(path.read_bytes())
    first, tiles = directories(bytes(data))[0], tiles_of(bytes(data))
    ends = np.cumsum([len(tile) for tile in tiles]) + len(data)
    first.offsets.write(data, [int(end) - len(tile) for end, tile in zip(ends, tiles, strict=True)])
    path.write_bytes(bytes(data) + b"".join(tiles))
    with rasterio.open(path) as file:
        assert (file.read(1) == PIXELS).all()
