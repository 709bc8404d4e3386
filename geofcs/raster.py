"""The raster products: strips put together as cloud-optimised GeoTIFFs with classes and colours, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # escapes from rasterio.shutil.copy
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geofcs.classes import CLASSES_TAG, PERCENT_NODATA, ClassScheme, Colour, scheme_to_json
from geofcs.errors import GeofcsError, OutputError, VerificationError
from geofcs.gdal import category_names_of, gdal_settings, write_category_names
from geofcs.grid import Grid
from geofcs.overviews import INTERNAL_TILE, Halve, Overview, average, checksum_of, most_frequent, overviews_of
from geofcs.strips import Strip, is_band, read_band

BEHIND = 1 << 20
"""Bytes written behind a file to see whether there is room."""

PLAIN: Mapping[str, int | str] = {"level": 6}
"""How codes and classes are deflated: a lower level is hardly faster, and their files a sixth larger."""

SMOOTH: Mapping[str, int | str] = {"level": 4, "predictor": "STANDARD"}
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
    deflate: Mapping[str, int | str]
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
    strip_folder: Path,
    strips: Sequence[Strip],
    grid: Grid,
    scheme: ClassScheme,
    progress: Callable[[int], None],
    finished: Callable[[Product], None],
    threads: int = 1,
) -> None:
    """Write each product into `folder` as a COG, decode all of it and compare with the strips, overviews with theirs.

    Several products at once, and each in several threads, make up `threads`; the bytes are the same. `progress` is told
    of pixels written and compared, `finished` of a product that is complete, in the calling thread. Raises
    `OutputError` when a file cannot be written and `VerificationError` when one does not hold what it should.
    """

    def write(product: Product) -> Product:
        path = folder / product.file_name
        mosaic = _mosaic(product, strip_folder, strips, grid, scheme)
        with _written(path), overviews_of(_text(mosaic), path, product.halve, product.nodata) as overviews:
            _write_cog(path, _text(_with_overviews(mosaic, overviews)), product.deflate, per_product)
            if product.names:
                write_category_names(path, product.names)
            _compare(path, product, strip_folder, strips, overviews)
        return product

    at_once = max(1, min(threads, len(products)))
    per_product = max(1, threads // at_once)
    with ThreadPoolExecutor(at_once, "geofcs-rasters") as pool:
        writing = [pool.submit(write, product) for product in products]
        try:
            for each in as_completed(writing):
                finished(each.result())
                progress(grid.height * grid.width)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn what goes wrong in writing into an `OutputError`, and leave nothing of the file behind.

    GDAL does not report every write that fails on a full disk, and what it wrote cannot be read or compares wrong. But
    then nothing can be written behind it either.
    """
    try:
        with _as_output_error(path):
            try:
                yield
            except VerificationError:
                _write_behind(path)
                raise
    except GeofcsError:
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
        raise


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot write: {reason}; free some space and give the same command again") from error


def _write_behind(path: Path) -> None:
    """Raise `OSError` where there is no room behind a file."""
    with path.open("ab") as file:
        file.write(bytes(BEHIND))
        file.flush()
        os.fsync(file.fileno())


def _write_cog(path: Path, mosaic: str, deflate: Mapping[str, int | str], threads: int) -> None:
    """Copy the mosaic (VRT text) with its overviews into a COG at `path`."""
    with gdal_settings(), rasterio.open(mosaic) as source:
        rasterio.shutil.copy(
            source, path, driver="COG", compress="deflate", blocksize=INTERNAL_TILE, bigtiff="IF_SAFER",
            overviews="FORCE_USE_EXISTING", num_threads=threads, **deflate,
        )  # fmt: skip


def _mosaic(
    product: Product, strip_folder: Path, strips: Sequence[Strip], grid: Grid, scheme: ClassScheme
) -> ET.Element:
    """One band of all strips as a virtual raster: nothing is written twice."""
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS", dataAxisToSRSAxisMapping="1,2").text = grid.crs.to_wkt()
        ET.SubElement(root, "GeoTransform").text = ", ".join(repr(each) for each in grid.transform.to_gdal())
    ET.SubElement(_metadata(root), "MDI", key=CLASSES_TAG).text = scheme_to_json(scheme)
    band = ET.SubElement(root, "VRTRasterBand", dataType=GDAL_TYPES[product.dtype], band="1")
    ET.SubElement(band, "Description").text = product.description
    ET.SubElement(band, "NoDataValue").text = str(product.nodata)
    if product.colours:
        _add_colours(band, product)
    for strip in strips:
        source = ET.SubElement(band, "SimpleSource")
        ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str((strip_folder / strip.name).absolute())
        ET.SubElement(source, "SourceBand").text = str(product.band)
        width, height = str(strip.width), str(strip.height)
        ET.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
        ET.SubElement(source, "DstRect", xOff=str(strip.left), yOff=str(strip.top), xSize=width, ySize=height)
    return root


def _with_overviews(mosaic: ET.Element, overviews: Sequence[Overview]) -> ET.Element:
    """The same virtual raster, which knows its overviews."""
    for each in overviews:
        overview = ET.SubElement(mosaic[-1], "Overview")
        ET.SubElement(overview, "SourceFilename", relativeToVRT="0").text = str(each.path.absolute())
        ET.SubElement(overview, "SourceBand").text = "1"
    return mosaic


def _text(mosaic: ET.Element) -> str:
    return ET.tostring(mosaic, encoding="unicode")


def _metadata(root: ET.Element) -> ET.Element:
    metadata = ET.SubElement(root, "Metadata")
    ET.SubElement(metadata, "MDI", key="AREA_OR_POINT").text = "Area"
    return metadata


def _add_colours(band: ET.Element, product: Product) -> None:
    ET.SubElement(band, "ColorInterp").text = "Palette"
    table = ET.SubElement(band, "ColorTable")
    for value in range(product.nodata + 1):
        r, g, b = product.colours.get(value, (0, 0, 0))
        alpha = "255" if value in product.colours else "0"
        ET.SubElement(table, "Entry", c1=str(r), c2=str(g), c3=str(b), c4=alpha)


def _compare(
    path: Path, product: Product, strip_folder: Path, strips: Sequence[Strip], overviews: Sequence[Overview]
) -> None:
    """Read back every pixel of the product and of its overviews: are they, by their checksums, what they were?"""
    try:
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            for strip in strips:
                pixels = file.read(1, window=Window(strip.left, strip.top, strip.width, strip.height))
                if not is_band(strip_folder, strip, product.band, pixels):
                    read_band(strip_folder, strip, product.band)  # raises if the fault is the strip's
                    raise _not_as_computed(path, f"rows from {strip.top} on")
        for level, overview in enumerate(overviews):
            with gdal_settings(), rasterio.open(path, driver="GTiff", overview_level=level) as file:
                if checksum_of(file) != overview.checksum:
                    raise _not_as_computed(path, f"overviews of level {level + 1}")
    except RasterioError as error:
        raise VerificationError(f"{path}: cannot be read back: {error}; give the same command again") from error


def _not_as_computed(path: Path, what: str) -> VerificationError:
    return VerificationError(
        f"{path}: {what} are not what was computed: the disk or memory may be failing; give the same command again"
    )
