"""The raster products: strips put together as cloud-optimised GeoTIFFs with classes and colours, and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # escapes from rasterio.shutil.copy
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from geofcs.classes import CLASSES_TAG, PERCENT_NODATA, ClassScheme, Colour, scheme_to_json
from geofcs.errors import GeofcsError, OutputError, VerificationError
from geofcs.gdal import category_names_of, gdal_settings, write_category_names
from geofcs.grid import Grid
from geofcs.overviews import INTERNAL_TILE, Halve, Pixels, average, most_frequent
from geofcs.pyramid import Place, Pyramid, Storage, checksum_of
from geofcs.strips import Mosaic, Strip, is_band, read_band
from geofcs.tiles import even_cuts

PLAIN = Storage(level=6)
"""How codes and classes are deflated: a lower level is hardly faster, and their files a sixth larger."""

SMOOTH = Storage(level=4, differences=True)
"""How scores are: differences of neighbours deflate to less at this level than scores do at 6, in half the time."""

GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16"}


@dataclass(frozen=True)
class Product:
    """A one-band raster: which band of the strips it shows, what its values mean, how it is halved and compressed."""

    file_name: str
    band: int
    nodata: int
    dtype: str
    description: str
    halve: Halve
    storage: Storage
    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[int, Colour] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        """The raster, and the side file with the names of its values if it has some."""
        return [self.file_name, *([category_names_of(self.file_name)] if self.names else ())]


def products_of(scheme: ClassScheme, landcover: bool) -> list[Product]:
    """The rasters of a run, in the order of the strips' bands."""
    dtype = scheme.code_dtype.name
    change = Product(
        "change.tif", 1, scheme.nodata, dtype, "from-to code", most_frequent, PLAIN,
        scheme.code_names, scheme.code_colours,
    )  # fmt: skip
    percent = Product("probability.tif", 2, PERCENT_NODATA, "uint8", "change score in percent", average, SMOOTH)
    covers = [
        Product(
            f"landcover_t{date}.tif", 2 + date, 255, "uint8", f"land cover at t{date} where changed",
            most_frequent, PLAIN,
            {0: "no change", **{each: scheme.cover_name(each) for each in range(1, scheme.count)}},
            {0: (255, 255, 255), **{each: cover.colour for each, cover in enumerate(scheme.land_covers, 1)}},
        )
        for date in (1, 2)
    ]  # fmt: skip
    return [change, percent, *(covers if landcover else ())]


def write_products(
    folder: Path,
    products: Sequence[Product],
    mosaic: Mosaic,
    grid: Grid,
    scheme: ClassScheme,
    progress: Callable[[int], None],
    finished: Callable[[Product], None],
    threads: int = 1,
) -> None:
    """Write each product into `folder` as a COG, decode all of it and compare with the strips, overviews with theirs.

    In so many threads; the bytes are the same. `progress` is told of pixels written and compared, `finished` of a
    product that is complete, in the calling thread. Raises `OutputError` when a file cannot be written and
    `VerificationError` when one does not hold what it should.
    """
    with products_begun(folder, products, mosaic, grid, scheme, threads) as begun:
        begun.finish(progress, finished)


@contextmanager
def products_begun(
    folder: Path, products: Sequence[Product], mosaic: Mosaic, grid: Grid, scheme: ClassScheme, threads: int
) -> Iterator[Begun]:
    """The same in two parts: tiles are compressed from now on, as strips come; the rest is to be asked for."""
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
        """Write and compare them, as `write_products` says."""
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
        self._header = self._pool.submit(_header, self.product, self._pyramid, grid, scheme)

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


def _header(product: Product, pyramid: Pyramid, grid: Grid, scheme: ClassScheme) -> bytes:
    """What GDAL's COG driver writes of an image without any pixel: everything but the tiles."""
    overviews = [_blank(product, level.shape) for level in pyramid.levels[1:]]
    with gdal_settings(), MemoryFile(ext=".tif") as memory:
        with rasterio.open(_text(_described(product, grid, scheme, overviews))) as source:
            rasterio.shutil.copy(
                source, memory.name, driver="COG", blocksize=INTERNAL_TILE, bigtiff="IF_SAFER",
                overviews="FORCE_USE_EXISTING", sparse_ok=True, **product.storage.of_cog,
            )  # fmt: skip
        return bytes(memory.read())


def _described(product: Product, grid: Grid, scheme: ClassScheme, overviews: Sequence[ET.Element]) -> ET.Element:
    """A virtual raster that knows all there is to know of a product but its pixels."""
    root = _blank(product, grid.shape)
    if grid.crs is not None:
        ET.SubElement(root, "SRS", dataAxisToSRSAxisMapping="1,2").text = grid.crs.to_wkt()
        ET.SubElement(root, "GeoTransform").text = ", ".join(repr(each) for each in grid.transform.to_gdal())
    metadata = ET.SubElement(root, "Metadata")
    ET.SubElement(metadata, "MDI", key="AREA_OR_POINT").text = "Area"
    ET.SubElement(metadata, "MDI", key=CLASSES_TAG).text = scheme_to_json(scheme)
    band = root[0]
    ET.SubElement(band, "Description").text = product.description
    if product.colours:
        _add_colours(band, product)
    for each in overviews:
        overview = ET.SubElement(band, "Overview")
        ET.SubElement(overview, "SourceFilename", relativeToVRT="0").text = _text(each)
        ET.SubElement(overview, "SourceBand").text = "1"
    return root


def _blank(product: Product, shape: tuple[int, int]) -> ET.Element:
    """A virtual raster of nodata."""
    root = ET.Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    band = ET.SubElement(root, "VRTRasterBand", dataType=GDAL_TYPES[product.dtype], band="1")
    ET.SubElement(band, "NoDataValue").text = str(product.nodata)
    return root


def _text(virtual: ET.Element) -> str:
    return ET.tostring(virtual, encoding="unicode")


def _add_colours(band: ET.Element, product: Product) -> None:
    ET.SubElement(band, "ColorInterp").text = "Palette"
    table = ET.SubElement(band, "ColorTable")
    for value in range(product.nodata + 1):
        r, g, b = product.colours.get(value, (0, 0, 0))
        alpha = "255" if value in product.colours else "0"
        ET.SubElement(table, "Entry", c1=str(r), c2=str(g), c3=str(b), c4=alpha)
