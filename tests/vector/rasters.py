"""Change rasters for tests, in memory and on disk, and what GDAL makes of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import shapely
from affine import Affine
from rasterio.crs import CRS

from geofcs.classes import CLASSES_TAG, SECOND, ClassScheme, scheme_to_json
from geofcs.vector.areas import PixelAreas
from geofcs.vector.pieces import Cut
from geofcs.vector.stream import FIXED_GRID, RegionStream
from geofcs.vector.windows import Block

Codes = npt.NDArray[Any]

NODATA = 255
UTM = CRS.from_epsg(32631)
TEN_METRES = Affine(10, 0, 500_000, 0, -10, 4_600_000)


@dataclass(frozen=True)
class Found:
    """One region as the stream gave it, its polygon in pixel corners (col, row)."""

    code: int
    first: int
    whole: int
    pixels: int
    area_m2: float
    percent_sum: int
    percent_pixels: int
    polygon: shapely.Polygon


def regions_in_blocks(
    codes: Codes,
    side: int,
    percent: Codes | None = None,
    min_area: float = 0.0,
    areas: PixelAreas | None = None,
    nodata: int = NODATA,
    cut: Cut = FIXED_GRID,
) -> list[Found]:
    """The regions of a raster that is cut into blocks of `side` pixels; a pixel is one square metre."""

    def window(pixels: Codes, block: Block, around: int) -> Codes:
        height, width = block.window_shape
        padded = np.pad(pixels, 1, constant_values=around)
        return padded[block.top : block.top + height, block.left : block.left + width]

    def read(block: Block) -> tuple[Codes, Codes | None]:
        return window(codes, block, 0), None if percent is None else window(percent, block, 255)

    stream = RegionStream(read, areas or PixelAreas(codes.shape[:2], np.ones((1, 1))), nodata, min_area, cut)
    found = []
    for regions, polygons in stream.regions(side, lambda _pixels: None):
        drawn = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, polygons.vertices.astype(float), (polygons.rings, polygons.polygons)
        )
        table = zip(
            regions.code, regions.first, regions.whole, regions.pixels, regions.area_m2, regions.percent_sum,
            regions.percent_pixels, drawn, strict=True,
        )  # fmt: skip
        found += [Found(*row) for row in table]
    return found


def regions_at_once(codes: Codes, nodata: int = NODATA) -> list[tuple[int, shapely.Polygon]]:
    """Code and polygon of every region, by GDAL on the whole raster."""
    mask = (codes != 0) & (codes != nodata)
    return [
        (int(code), shapely.Polygon(polygon["coordinates"][0], polygon["coordinates"][1:]))
        for polygon, code in rasterio.features.shapes(codes, mask=mask, connectivity=4)
    ]


def comparable(polygons: list[tuple[int, shapely.Polygon]]) -> list[tuple[int, bytes]]:
    """Codes and vertices, freed of where a ring begins and which way round it goes."""
    return sorted((code, shapely.to_wkb(shapely.normalize(polygon))) for code, polygon in polygons)


def write_raster(
    path: Path,
    pixels: Codes,
    scheme: ClassScheme | None = SECOND,
    crs: CRS | None = UTM,
    transform: Affine = TEN_METRES,
    nodata: float | None = NODATA,
) -> Path:
    """A GeoTIFF of one band (or several), with its class scheme in the tag."""
    bands = pixels if pixels.ndim == 3 else pixels[None]
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2], dtype=bands.dtype,
        crs=crs, transform=transform, nodata=nodata, tiled=True, blockxsize=64, blockysize=64, compress="deflate",
    ) as file:  # fmt: skip
        file.write(bands)
        if scheme is not None:
            file.update_tags(**{CLASSES_TAG: scheme_to_json(scheme)})
    return path
