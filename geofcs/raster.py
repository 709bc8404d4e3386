"""Rasters written: strips put together as cloud-optimised GeoTIFFs, and checked.

Strips are compared with their checksums before pixels are taken of them, what GDAL compresses is decoded at once, and
of the bytes that were decoded the whole file is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rasterio._err import CPLE_BaseError  # escapes from rasterio.shutil.copy
from rasterio.errors import RasterioError

from geofcs.classes import ClassScheme
from geofcs.durable import sync
from geofcs.errors import GeofcsError, OutputError
from geofcs.gdal import category_names_of, write_category_names
from geofcs.grid import Grid
from geofcs.mosaic import Mosaic
from geofcs.overviews import Pixels
from geofcs.product import Product, header_of
from geofcs.pyramid import Cell, Pyramid
from geofcs.records import Described, lasting


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
            _Making(
                folder / product.file_name, product, pyramid, pool, partial(header_of, product, pyramid, grid, scheme)
            )
            for product, pyramid in zip(products, pyramids, strict=True)
        ]

        def add_cell(cell: Cell, made_of: Sequence[Future[int]]) -> int:
            for part in made_of:
                part.result()
            if cell.level > 0:
                for each in making:
                    each.add_overviews(cell)
                return 0
            layers = mosaic.read([each.band for each in products], *pyramids[0].place(cell), scheme.code_dtype)
            for each, layer in zip(making, layers, strict=True):
                each.add_cell(cell, layer)
            return layers.size

        added: dict[Cell, Future[int]] = {}
        for cell in pyramids[0].cells() if pyramids else ():  # from top to bottom, as strips come
            added[cell] = pool.submit(add_cell, cell, [added[part] for part in pyramids[0].made_of(cell)])
        yield Begun(making, list(added.values()))


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
    """Products under way: each of them, and the cells that are compressed for all, with how many pixels of rasters."""

    making: Sequence[_Making]
    cells: Sequence[Future[int]]

    def finish(self, progress: Callable[[int], None], finished: Callable[[Described], None]) -> None:
        """Write each as a COG, and read all of it back.

        `progress` is told of pixels compressed, `finished` of a product's files when they are complete and on the disk,
        in the calling thread. Raises `OutputError` when a file cannot be written and `VerificationError` when one does
        not hold what it should.
        """
        for cell in self.cells:
            progress(cell.result())
        with ThreadPoolExecutor(max(1, len(self.making)), "geofcs-products") as pool:
            try:
                for written in as_completed([pool.submit(each.finish) for each in self.making]):
                    finished(written.result())
            finally:
                pool.shutdown(cancel_futures=True)


class _Making:
    """One product on its way from strips to a file."""

    def __init__(
        self, path: Path, product: Product, pyramid: Pyramid, pool: ThreadPoolExecutor, header_of: Callable[..., bytes]
    ) -> None:
        self._path, self._product, self._pyramid, self._pool = path, product, pyramid, pool
        self._header_of, self._likely_header = header_of, pool.submit(header_of)

    def add_cell(self, cell: Cell, pixels: Pixels) -> None:
        """Compress the pixels of a cell. Raises `OutputError` on a full disk."""
        with _as_output_error(self._path):
            self._pyramid.add_cell(cell, pixels.astype(self._product.dtype, copy=False))

    def add_overviews(self, cell: Cell) -> None:
        """Compress what a cell of an overview is halved to. Raises `OutputError` on a full disk."""
        with _as_output_error(self._path):
            self._pyramid.add_overviews(cell)

    def finish(self) -> Described:
        """Write the file once all cells are compressed, and read it back, while the disk is waited for.

        Returns what files there are.
        """
        with _written(self._path), ThreadPoolExecutor(1, "geofcs-sync") as aside:
            described = self._pyramid.write(self._path, self._header())
            on_disk = aside.submit(sync, self._path)
            if self._product.names:
                write_category_names(self._path, self._product.names)
            self._pyramid.check_header(self._path)
            for checked in [self._pool.submit(row.check, self._path) for row in self._pyramid.rows()]:
                checked.result()
            on_disk.result()
            raster, *others = self._product.files
            return {raster: described, **lasting(self._path.parent, others)}

    def _header(self) -> bytes:
        """All but the pixels: what was made while these came, unless they came to more than it can point to."""
        header = self._likely_header.result()
        return header if self._pyramid.fits(header) else self._header_of(bigtiff="YES")


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
