"""The products of a run: what each raster shows and means, and a file of it that lacks nothing but pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile

from geofcs.classes import CLASSES_TAG, PERCENT_NODATA, ClassScheme, Colour, scheme_to_json
from geofcs.gdal import category_names_of, gdal_settings
from geofcs.grid import Grid
from geofcs.overviews import INTERNAL_TILE, Halve, average, most_frequent
from geofcs.pyramid import Pyramid
from geofcs.storage import Storage

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


def header_of(product: Product, pyramid: Pyramid, grid: Grid, scheme: ClassScheme, bigtiff: str = "IF_SAFER") -> bytes:
    """What GDAL's COG driver writes of an image without any pixel: everything but the tiles.

    `bigtiff` as GDAL takes it: IF_SAFER decides by how many bytes there are before they are compressed.
    """
    overviews = [_blank(product, level.shape) for level in pyramid.levels[1:]]
    with gdal_settings(), MemoryFile(ext=".tif") as memory:
        with rasterio.open(_text(_described(product, grid, scheme, overviews))) as source:
            rasterio.shutil.copy(
                source, memory.name, driver="COG", blocksize=INTERNAL_TILE, bigtiff=bigtiff,
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
