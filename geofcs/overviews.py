"""Overviews: a raster at half its size again and again, each pixel made of the two by two that it lies over."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from geofcs.gdal import gdal_settings, quick_compression

INTERNAL_TILE = 512
"""Side of a product's internal tiles in pixels, the COG driver's own default; the smallest overview is one."""

WINDOW = INTERNAL_TILE, 8 * INTERNAL_TILE
"""Rows and columns of an overview that are made at once: whole internal tiles, and few of them in memory."""

Pixels = npt.NDArray[Any]
Halve = Callable[[Pixels, int], Pixels]
"""From pixels (2h, 2w) and their nodata value to one for each two by two, (h, w)."""


@dataclass(frozen=True)
class Overview:
    """A raster of a level, and the CRC-32 of its pixels, window by window."""

    path: Path
    checksum: int


@contextmanager
def overviews_of(raster: str, beside: Path, halve: Halve, nodata: int) -> Iterator[list[Overview]]:
    """Rasters of all levels of a one-band raster, the largest first, until one fits into an internal tile.

    They lie beside a file and are gone in the end. Raises `RasterioError` when one cannot be read or written.
    """
    levels: list[Overview] = []
    try:
        while max(shape := _shape(raster)) > INTERNAL_TILE:
            path = beside.with_name(f"{beside.name}.{len(levels) + 1}.tmp")
            levels.append(Overview(path, _write_half(raster, shape, path, halve, nodata)))
            raster = str(path)
        yield levels
    finally:
        for each in levels:
            each.path.unlink(missing_ok=True)


def _shape(raster: str) -> tuple[int, int]:
    with gdal_settings(), rasterio.open(raster) as file:
        return file.height, file.width


def _write_half(raster: str, shape: tuple[int, int], path: Path, halve: Halve, nodata: int) -> int:
    """Write the level below a raster; returns its checksum."""
    height, width = (-(-length // 2) for length in shape)
    checksum = 0
    with gdal_settings(), rasterio.open(raster) as source, rasterio.open(
        path, "w", driver="GTiff", count=1, height=height, width=width, dtype=source.dtypes[0], tiled=True,
        blockxsize=INTERNAL_TILE, blockysize=INTERNAL_TILE, bigtiff="IF_SAFER", **quick_compression(),
    ) as file:  # fmt: skip
        for window in _windows(height, width):
            pixels = halve(_whole_quads(source, window, nodata), nodata)
            file.write(pixels, 1, window=window)
            checksum = zlib.crc32(pixels.data, checksum)
    return checksum


def _windows(height: int, width: int) -> Iterator[Window]:
    for top in range(0, height, WINDOW[0]):
        for left in range(0, width, WINDOW[1]):
            yield Window(left, top, min(WINDOW[1], width - left), min(WINDOW[0], height - top))


def _whole_quads(source: Any, window: Window, nodata: int) -> Pixels:
    """The pixels that a window of the level below lies over; nodata beyond the end of the raster."""
    top, left, height, width = (2 * each for each in (window.row_off, window.col_off, window.height, window.width))
    there = Window(left, top, min(width, source.width - left), min(height, source.height - top))
    pixels: Pixels = source.read(1, window=there)
    missing = height - there.height, width - there.width
    return np.pad(pixels, ((0, missing[0]), (0, missing[1])), constant_values=nodata) if any(missing) else pixels


def checksum_of(overview: Any) -> int:
    """What `Overview.checksum` is of an open raster. Raises `RasterioError` if it cannot be read."""
    checksum = 0
    for window in _windows(overview.height, overview.width):
        checksum = zlib.crc32(np.ascontiguousarray(overview.read(1, window=window)).data, checksum)
    return checksum


def most_frequent(pixels: Pixels, nodata: int) -> Pixels:
    """The value that most of four have, nodata not counted; GDAL's choice of several: row by row, the first to have so
    many."""
    quads = _quads(pixels)
    first, *others = quads
    chosen = first.copy()
    mixed = np.flatnonzero(np.logical_or.reduce([other != first for other in others]))
    if len(mixed):
        rows, cols = np.divmod(mixed, first.shape[1])
        values = np.stack([quad[rows, cols] for quad in quads])
        so_far = np.stack([(values[: place + 1] == values[place]).sum(0) for place in range(len(quads))])
        winner = (so_far * (values != nodata)).argmax(0)
        chosen[rows, cols] = values[winner, np.arange(len(mixed))]
    return chosen


def average(pixels: Pixels, nodata: int) -> Pixels:
    """The mean of four, nodata not counted, a half rounded up."""
    quads = _quads(pixels)
    if not (pixels == nodata).any():
        return ((_sum(quads) + 2) >> 2).astype(pixels.dtype)
    known = [quad != nodata for quad in quads]
    count, total = _sum(known), _sum([quad * each for quad, each in zip(quads, known, strict=True)])
    mean = (total + count // 2) // np.maximum(count, 1)
    return np.where(count > 0, mean, nodata).astype(pixels.dtype)


def _sum(parts: Sequence[Pixels]) -> npt.NDArray[np.uint32]:
    total = parts[0].astype(np.uint32)
    for part in parts[1:]:
        total += part
    return total


def _quads(pixels: Pixels) -> list[Pixels]:
    """The four pixels of each two by two, row by row."""
    return [pixels[row::2, col::2] for row in range(2) for col in range(2)]
