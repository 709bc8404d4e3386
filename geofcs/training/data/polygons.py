"""What truly changed as labelled polygons tell it: read, brought onto the grid of a pair, burned window by window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.errors
import pyproj
import rasterio.features
import shapely
from affine import Affine
from rasterio.windows import Window

from geofcs.classes import BINARY, NO_CHANGE, ClassScheme
from geofcs.errors import InputError
from geofcs.grid import Grid, applied
from geofcs.scene.vectors import local_vector
from geofcs.training.data.codes import Codes, Layers

VECTOR_SUFFIXES = frozenset({".gpkg", ".geojson", ".fgb", ".shp", ".parquet"})


@dataclass(frozen=True)
class PolygonTruth:
    """Polygons in pixels of the grid, with the code of each; all around them is unchanged."""

    shapes: tuple[bytes, ...]
    codes: tuple[int, ...]
    scheme: ClassScheme

    @contextmanager
    def open(self) -> Iterator[Layers]:
        """A reader for the calling thread."""
        shapes = shapely.from_wkb(list(self.shapes))
        yield _PolygonLayers(shapes, np.array(self.codes, np.int64), shapely.STRtree(shapes))


@dataclass(frozen=True)
class _PolygonLayers:
    shapes: npt.NDArray[np.object_]
    codes: Codes
    tree: shapely.STRtree

    def read(self, window: Window) -> Codes:
        """Codes where a pixel's centre is inside; the later of two polygons wins."""
        (top, bottom), (left, right) = window.toranges()
        near = np.sort(self.tree.query(shapely.box(left, top, right, bottom)))
        shape = bottom - top, right - left
        if not len(near):
            return np.zeros(shape, np.int64)
        burned = rasterio.features.rasterize(
            zip(self.shapes[near], self.codes[near].tolist(), strict=True), shape, fill=NO_CHANGE,
            transform=Affine.translation(left, top), dtype="int32",
        )  # fmt: skip
        codes: Codes = burned.astype(np.int64)
        return codes


def polygon_truth(path: Path, grid: Grid, scheme: ClassScheme | None) -> PolygonTruth:
    table = _in_grid_crs(path, _read_table(path), grid)
    classes = BINARY if scheme is None or not _has_classes(table) else scheme
    codes = _codes_of(path, table, classes)
    back = ~grid.transform
    shapes = shapely.transform(table.geometry.to_numpy(), lambda points: np.column_stack(applied(back, *points.T)))
    return PolygonTruth(tuple(shapely.to_wkb(shapes)), tuple(codes), classes)


def _read_table(named: Path) -> gpd.GeoDataFrame:
    with local_vector(str(named)) as path:
        return _table_in(path)


def _table_in(path: Path) -> gpd.GeoDataFrame:
    try:
        table = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path, layer=_layer_of(path))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as polygons ({' '.join(str(error).split())})") from error
    table = table[table.geometry.notna() & ~table.geometry.is_empty]
    if not table.geom_type.isin(["Polygon", "MultiPolygon"]).all():
        raise InputError(f"{path}: holds other things than polygons: leave them out")
    return table


def _layer_of(path: Path) -> str:
    """The first layer with geometries; a GeoPackage of ours holds tables beside it."""
    layers = pyogrio.list_layers(path)
    return str(next((name for name, kind in layers if kind is not None), layers[0][0]))


def _in_grid_crs(path: Path, table: gpd.GeoDataFrame, grid: Grid) -> gpd.GeoDataFrame:
    if table.crs is None or grid.crs is None:
        if table.crs is not None:
            raise InputError(f"{path}: has a CRS, but the scenes have none")
        return table
    return table.to_crs(pyproj.CRS.from_wkt(grid.crs.to_wkt()))


def _has_classes(table: gpd.GeoDataFrame) -> bool:
    return "code" in table or {"from_class", "to_class"} <= set(table.columns)


def _codes_of(path: Path, table: gpd.GeoDataFrame, scheme: ClassScheme) -> list[int]:
    """The from-to code of each polygon; names come before numbers, which other class schemes use too."""
    if scheme.is_binary:
        return [1] * len(table)
    if not {"from_class", "to_class"} <= set(table.columns):
        return [_checked_code(path, value, scheme) for value in table["code"]]
    ids = {cover.name: number for number, cover in enumerate(scheme.land_covers, 1)}
    codes = []
    for before, after in zip(table["from_class"], table["to_class"], strict=True):
        for name in (before, after):
            if name not in ids:
                raise InputError(f"{path}: {name!r} is no class of {scheme.name}; these are {', '.join(ids)}")
        codes.append(int(scheme.encode(ids[before], ids[after])))
    return codes


def _checked_code(path: Path, value: Any, scheme: ClassScheme) -> int:
    if not 0 <= value <= len(scheme.transitions) or value != int(value):
        raise InputError(
            f"{path}: {value} is no from-to code of {scheme.name}; these are 0 to {len(scheme.transitions)}"
        )
    return int(value)
