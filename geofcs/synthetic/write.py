"""A made-up pair of scenes and its truth as GeoTIFFs, written row of tiles by row of tiles: memory knows no size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geofcs.classes import CLASSES_TAG, ClassScheme, scheme_to_json
from geofcs.durable import rename_synced
from geofcs.errors import InputError, OutputError
from geofcs.gdal import gdal_settings, write_category_names
from geofcs.lock import locked
from geofcs.synthetic.noise import key_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.scene import ScenePixels, scene_pixels

INTERNAL_TILE = 512
LARGEST_SIDE = 1_000_000
SIDE_FILES = (".ovr", ".msk", ".aux.xml")
"""What belongs to an older scene of the same name; GDAL would show its pixels, or its statistics, as the new one's."""

FILES = ("t1.tif", "t2.tif", "change.tif")
TAKEN = ("2016:06:14 10:31:00", "2021:09:02 10:24:00")
CRS = "EPSG:32633"

Band = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Extent:
    """How large a scene is: (height, width) pixels."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if not (1 <= self.height <= LARGEST_SIDE and 1 <= self.width <= LARGEST_SIDE):
            raise InputError(
                f"a scene of {self.height} x {self.width} pixels cannot be made; use 1 to {LARGEST_SIDE} a side"
            )


def extent_of(size: str) -> Extent:
    """The extent that "4096" or "2048,4096" (height, width) stands for."""
    sides = size.split(",")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise InputError(f"{size!r} is not a size: give pixels a side as 4096, or height and width as 2048,4096")
    return Extent(int(sides[0]), int(sides[-1]))


def write_scenes(
    folder: Path,
    parameters: SceneParameters,
    extent: Extent,
    *,
    block: int = 1024,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda _pixels: None,
) -> tuple[Path, Path, Path]:
    """Write t1.tif, t2.tif and change.tif into `folder`, and return their paths.

    Neither `block`, the side in pixels of what is computed at once, nor `threads` (default: the cores, at most 4)
    changes a byte. `progress` is told of pixels done. Files appear under their names only when all are complete. Raises
    `OutputError` where they exist, unless `overwrite`, are being written by another process, or cannot be written.
    """
    if block < 1:
        raise InputError(f"blocks of {block} pixels cannot be computed; use 1 or more, usually 1024")
    paths = [folder / name for name in FILES]
    with locked(paths[-1]):
        _check_free(folder, paths, overwrite)
        with _renamed_when_whole(folder, paths, parameters.scheme) as partial:
            _write(partial, parameters, extent, block, threads or min(os.cpu_count() or 1, 4), progress)
    return paths[0], paths[1], paths[2]


def _check_free(folder: Path, paths: list[Path], overwrite: bool) -> None:
    there = [path.name for path in paths if path.exists()]
    if there and not overwrite:
        raise OutputError(f"{folder}: already holds {', '.join(there)}; choose another folder or give --overwrite")


@contextmanager
def _renamed_when_whole(folder: Path, paths: list[Path], scheme: ClassScheme) -> Iterator[list[Path]]:
    """Names to write to, which become `paths` in the end, unless something failed."""
    partial = [path.with_name(f"{path.name}.partial") for path in paths]
    try:
        yield partial
        for source, path in zip(partial, paths, strict=True):
            for ending in SIDE_FILES:
                path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
            rename_synced(source, path)
        write_category_names(paths[-1], scheme.code_names)
    except (RasterioError, OSError) as error:
        raise OutputError(
            f"{folder}: cannot write the scenes: {error}; free some space or choose another folder"
        ) from error
    finally:
        for path in partial:
            path.unlink(missing_ok=True)


def _write(
    paths: list[Path],
    parameters: SceneParameters,
    extent: Extent,
    block: int,
    threads: int,
    progress: Callable[[int], None],
) -> None:
    """Rows of internal tiles, top to bottom: GDAL then lays them out in one order only."""
    with ExitStack() as stack:
        stack.enter_context(gdal_settings())
        files = [stack.enter_context(_created(path, parameters, extent, part)) for part, path in enumerate(paths)]
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        for top, band in _bands(pool, parameters, extent, block, progress):
            window = Window(0, top, extent.width, band[2].shape[0])
            for file, layers in zip(files, band, strict=True):
                file.write(layers, window=window) if layers.ndim == 3 else file.write(layers, 1, window=window)
    _check_end(paths, window, band)


def _created(path: Path, parameters: SceneParameters, extent: Extent, part: int) -> Any:
    """An open GeoTIFF for the first date, the second date or (part 2) the change map."""
    dice = Random(key_of(parameters.seed, "place"))
    west, north = 1000 * dice.randint(300, 600), 1000 * dice.randint(4000, 6000)
    is_map = part == 2
    file = rasterio.open(
        path, "w", driver="GTiff", height=extent.height, width=extent.width, count=1 if is_map else 3,
        dtype=parameters.scheme.code_dtype if is_map else np.uint8, nodata=parameters.scheme.nodata if is_map else None,
        crs=CRS, transform=Affine(parameters.gsd, 0, west, 0, -parameters.gsd, north),
        tiled=True, blockxsize=INTERNAL_TILE, blockysize=INTERNAL_TILE, interleave="pixel", BIGTIFF="IF_SAFER",
        compress="deflate", predictor=1 if is_map else 2, zlevel=1, **({} if is_map else {"photometric": "RGB"}),
    )  # fmt: skip
    if is_map:
        file.write_colormap(1, _colours(parameters.scheme))
        file.update_tags(**{CLASSES_TAG: scheme_to_json(parameters.scheme)})
        file.set_band_description(1, "from-to code")
    else:
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        file.update_tags(TIFFTAG_DATETIME=TAKEN[part])
    return file


def _colours(scheme: ClassScheme) -> dict[int, tuple[int, int, int, int]]:
    return {code: (*colour, 255) for code, colour in scheme.code_colours.items()}


def _bands(
    pool: ThreadPoolExecutor, parameters: SceneParameters, extent: Extent, block: int, progress: Callable[[int], None]
) -> Iterator[tuple[int, Band]]:
    """Each row of internal tiles with its top; the next one is computed while one is written."""
    tops = range(0, extent.height, INTERNAL_TILE)
    waiting = _start(pool, parameters, extent, block, tops[0])
    for top in tops:
        pieces = waiting
        if top + INTERNAL_TILE < extent.height:
            waiting = _start(pool, parameters, extent, block, top + INTERNAL_TILE)
        yield top, _joined(pieces, parameters, extent, top, progress)


Piece = tuple[int, int, "Future[ScenePixels]"]


def _start(pool: ThreadPoolExecutor, parameters: SceneParameters, extent: Extent, block: int, top: int) -> list[Piece]:
    bottom, block = min(top + INTERNAL_TILE, extent.height), max(1, block // parameters.points)
    return [
        (
            row,
            col,
            pool.submit(scene_pixels, parameters, row, col, min(block, bottom - row), min(block, extent.width - col)),
        )
        for row in range(top, bottom, block)
        for col in range(0, extent.width, block)
    ]


def _joined(
    pieces: list[Piece], parameters: SceneParameters, extent: Extent, top: int, progress: Callable[[int], None]
) -> Band:
    """The pieces side by side: (3, h, w) of either date and (h, w) of codes."""
    height = min(INTERNAL_TILE, extent.height - top)
    t1, t2 = (np.empty((3, height, extent.width), np.uint8) for _ in range(2))
    codes = np.empty((height, extent.width), parameters.scheme.code_dtype)
    for row, col, future in pieces:
        pixels = future.result()
        h, w = pixels.codes.shape
        where = slice(row - top, row - top + h), slice(col, col + w)
        t1[:, *where], t2[:, *where], codes[where] = pixels.t1, pixels.t2, pixels.codes
        progress(h * w)
    return t1, t2, codes


def _check_end(paths: list[Path], window: Window, band: Band) -> None:
    """Read the last rows back: a full disk may show only when a file is closed."""
    for path, layers in zip(paths, band, strict=True):
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            if not np.array_equal(file.read(window=window).reshape(layers.shape), layers):
                raise OutputError(f"{path}: what was written cannot be read back; is the disk full or failing?")
