"""Rasters written: strips put together as cloud-optimised GeoTIFFs, and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # escapes from rasterio.shutil.copy
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geofcs.classes import ClassScheme
from geofcs.errors import GeofcsError, OutputError, VerificationError
from geofcs.gdal import category_names_of, gdal_settings, write_category_names
from geofcs.grid import Grid
from geofcs.overviews import INTERNAL_TILE, Pixels
from geofcs.product import Product, header_of
from geofcs.pyramid import Place, Pyramid, checksum_of
from geofcs.strips import Mosaic, Strip, is_band, read_band
from geofcs.tiles import even_cuts


@contextmanager
def products_begun(
    folder: Path, products: Sequence[Product], mosaic: Mosaic, grid: Grid, scheme: ClassScheme, threads: int
) -> Iterator[Begun]:
    """Products on their way into `folder`, in so many threads; the bytes are the same.

    Tiles are compressed from now on, as strips come; the rest is to be asked for. Raises `OutputError` when a file
    cannot be written.
    """
    with ExitStack() as stack:
        pyramids = [stack.enter_context(_pyramid_of(folder / each.file_name, each, grid)) for each in products]
        pool = stack.enter_context(_working(threads))
        making = [
            _Making(folder / product.file_name, product, mosaic, pyramid, pool, threads)
            for product, pyramid in zip(products, pyramids, strict=True)
        ]
        for each in making:
            each.begin(grid, scheme)

        def add_cell(place: Place) -> None:
            layers = mosaic.read([each.band for each in products], *place, scheme.code_dtype)
            for each, layer in zip(making, layers, strict=True):
                each.add_cell(layer, place)

        places = pyramids[0].cells() if pyramids else []
        cells = [pool.submit(add_cell, place) for place in places]  # from top to bottom, as strips come
        yield Begun(making, cells, grid.height * grid.width)


@contextmanager
def _pyramid_of(path: Path, product: Product, grid: Grid) -> Iterator[Pyramid]:
    beside = path.with_name(f"{path.name}.tiles.tmp")
    pyramid = Pyramid(grid.shape, np.dtype(product.dtype), product.nodata, product.halve, product.storage, beside)
    with _as_output_error(path), pyramid:
        yield pyramid


@contextmanager
def _working(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, "geofcs-rasters")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Begun:
    """Products under way: each of them, the cells that are compressed for all, and how many pixels each has."""

    making: Sequence[_Making]
    cells: Sequence[Future[None]]
    pixels: int

    def finish(self, progress: Callable[[int], None], finished: Callable[[Product], None]) -> None:
        """Write each as a COG, decode all of it and compare with the strips, overviews with theirs.

        `progress` is told of pixels written and compared, `finished` of a product that is complete, in the calling
        thread. Raises `OutputError` when a file cannot be written and `VerificationError` when one does not hold what
        it should.
        """
        with ThreadPoolExecutor(max(1, len(self.making)), "geofcs-products") as pool:
            writing = {pool.submit(each.finish, self.cells): each.product for each in self.making}
            try:
                for each in as_completed(writing):
                    each.result()
                    finished(writing[each])
                    progress(self.pixels)
            finally:
                pool.shutdown(cancel_futures=True)


class _Making:
    """One product on its way from strips to a file."""

    def __init__(
        self, path: Path, product: Product, mosaic: Mosaic, pyramid: Pyramid, pool: ThreadPoolExecutor, threads: int
    ) -> None:
        self.product = product
        self._path, self._mosaic, self._pyramid = path, mosaic, pyramid
        self._pool, self._threads = pool, threads

    def begin(self, grid: Grid, scheme: ClassScheme) -> None:
        """Have all but the pixels written."""
        self._header = self._pool.submit(header_of, self.product, self._pyramid, grid, scheme)

    def add_cell(self, pixels: Pixels, place: Place) -> None:
        """Compress the pixels of a cell. Raises `OutputError` on a full disk."""
        with _as_output_error(self._path):
            self._pyramid.add_cell(pixels.astype(self.product.dtype, copy=False), *place)

    def finish(self, cells: Sequence[Future[None]]) -> None:
        """Write the file once all cells are compressed, and compare it."""
        with _written(self._path):
            for cell in cells:
                cell.result()
            self._pyramid.add_overviews(self._in_parallel)
            self._pyramid.write(self._path, self._header.result())
            if self.product.names:
                write_category_names(self._path, self.product.names)
            self._compare()

    def _in_parallel(self, function: Callable[[Place], None], places: Iterable[Place]) -> None:
        for each in [self._pool.submit(function, place) for place in places]:
            each.result()

    def _compare(self) -> None:
        """Read back every pixel of the file and of its overviews: are they, by their checksums, what they were?"""
        strips, levels = self._mosaic.strips, self._pyramid.levels
        cuts = even_cuts(len(strips), min(self._threads, len(strips)))
        compared = [self._pool.submit(self._compare_strips, strips[start:stop]) for start, stop in pairwise(cuts)]
        for number, level in enumerate(levels[1:], 1):
            compared += [self._pool.submit(self._compare_tiles, number, row) for row in range(len(level.sizes))]
        for each in compared:
            each.result()

    def _compare_strips(self, strips: Sequence[Strip]) -> None:
        with self._reading() as file:
            for strip in strips:
                pixels = file.read(1, window=Window(strip.left, strip.top, strip.width, strip.height))
                if not is_band(self._mosaic.folder, strip, self.product.band, pixels):
                    read_band(self._mosaic.folder, strip, self.product.band)  # raises if the fault is the strip's
                    raise self._not_as_computed(f"rows from {strip.top} on")

    def _compare_tiles(self, level: int, row: int) -> None:
        """A row of internal tiles of an overview."""
        with self._reading(overview_level=level - 1) as file:
            for col, checksum in enumerate(self._pyramid.levels[level].checksums[row]):
                window = Window(col * INTERNAL_TILE, row * INTERNAL_TILE, INTERNAL_TILE, INTERNAL_TILE)
                if checksum_of(file.read(1, window=window)) != checksum:
                    raise self._not_as_computed(f"overviews of level {level}")

    @contextmanager
    def _reading(self, **options: int) -> Iterator[Any]:
        try:
            with gdal_settings(), rasterio.open(self._path, driver="GTiff", **options) as file:
                yield file
        except RasterioError as error:
            raise VerificationError(
                f"{self._path}: cannot be read back: {error}; give the same command again"
            ) from error

    def _not_as_computed(self, what: str) -> VerificationError:
        return VerificationError(
            f"{self._path}: {what} are not what was computed: the disk or memory may be failing; give the same command "
            "again"
        )


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn what goes wrong in writing into an `OutputError`, and leave nothing of the file behind."""
    try:
        with _as_output_error(path):
            yield
    except GeofcsError:
        for leftover in (path, path.with_name(category_names_of(path.name))):
            leftover.unlink(missing_ok=True)
        raise


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot write: {reason}; free some space and give the same command again") from error
