"""What GDAL alone takes to read a pair of scenes and to write the products of a run, without anything in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import rasterio.features
import rasterio.shutil
import shapely
from rasterio.windows import Window

from geofcs.bench.made_pair import SCENES
from geofcs.classes import NO_CHANGE
from geofcs.overviews import INTERNAL_TILE
from geofcs.product import PLAIN, SMOOTH

ROWS_AT_ONCE = 512
PRODUCTS = ("change.tif", "probability.tif")
COG_OPTIONS = {"overview_resampling": "MODE", **PLAIN.of_cog}, {"overview_resampling": "AVERAGE", **SMOOTH.of_cog}

Pixels = npt.NDArray[Any]


def bare_pass(scenes: Path, products: Path, out: Path, threads: int) -> dict[str, float]:
    """Seconds of each step, GDAL compressing and decompressing in `threads` threads.

    Reads the pair in the folder `scenes`, writes what the folder `products` holds as tiled GeoTIFFs, makes COGs of
    these, and polygons of the changes by one call on the whole raster, which go into a GeoPackage. Nothing is checked.
    Reading the products, and bringing polygons from one library to the other, is not counted.
    """
    profile, pixels = _profile(products / PRODUCTS[0]), [_whole(products / name) for name in PRODUCTS]
    seconds: dict[str, float] = {}
    with rasterio.Env(GDAL_NUM_THREADS=str(threads), GDAL_PAM_ENABLED="NO"):
        with _timed("read both", seconds), ThreadPoolExecutor(threads) as pool:
            list(pool.map(_read_through, [scenes / name for name in SCENES]))
        with _timed("write tiled", seconds):
            for name, each in zip(PRODUCTS, pixels, strict=True):
                with rasterio.open(out / f"tiled-{name}", "w", **profile, num_threads=threads) as file:
                    for window in _rows(file):
                        file.write(each[window.row_off : window.row_off + window.height], 1, window=window)
        with _timed("COGs", seconds):
            for name, options in zip(PRODUCTS, COG_OPTIONS, strict=True):
                rasterio.shutil.copy(
                    out / f"tiled-{name}", out / name, driver="COG", blocksize=INTERNAL_TILE,
                    num_threads=threads, **options,
                )  # fmt: skip
        with _timed("polygonize", seconds):
            changed = (pixels[0] != NO_CHANGE) & (pixels[0] != profile["nodata"])
            found = list(rasterio.features.shapes(pixels[0], mask=changed, transform=profile["transform"]))
    geometries = shapely.to_wkb([shapely.geometry.shape(each) for each, _ in found])
    codes = np.array([code for _, code in found], np.int32)
    with _timed("GeoPackage", seconds):
        pyogrio.raw.write(
            out / "changes.gpkg", np.asarray(geometries), [codes], ["code"], layer="changes", driver="GPKG",
            geometry_type="Polygon", crs=profile["crs"].to_wkt(),
        )  # fmt: skip
    return seconds


@contextmanager
def _timed(step: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def _profile(path: Path) -> dict[str, Any]:
    """How a product is written as a plain tiled GeoTIFF."""
    with rasterio.open(path) as file:
        return {
            "driver": "GTiff", "count": 1, "dtype": file.dtypes[0], "height": file.height, "width": file.width,
            "crs": file.crs, "transform": file.transform, "nodata": file.nodata, "compress": "deflate", "tiled": True,
            "blockxsize": INTERNAL_TILE, "blockysize": INTERNAL_TILE,
        }  # fmt: skip


def _whole(path: Path) -> Pixels:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def _read_through(path: Path) -> None:
    with rasterio.open(path) as file:
        for window in _rows(file):
            file.read(window=window)


def _rows(file: Any) -> Iterator[Window]:
    for top in range(0, file.height, ROWS_AT_ONCE):
        yield Window(0, top, file.width, min(ROWS_AT_ONCE, file.height - top))
