"""What truly changed as labelled polygons tell it: read, brought onto the grid of a pair, burned window by window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio.features
import shapely
from affine import Affine
from rasterio.windows import Window

from geofcs.classes import BINARY, NO_CHANGE, ClassScheme
from geofcs.errors import InputError
from geofcs.grid import Grid, applied
from geofcs.scene.shapes import Shapes, projected
from geofcs.scene.vectors import read_shapes
from geofcs.training.data.codes import Codes, Layers

COLUMNS = ("code", "from_class", "to_class")
POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)

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
    found = read_shapes(str(path), COLUMNS)
    if not np.isin(shapely.get_type_id(found.geometries), POLYGONS).all():
        raise InputError(f"{path}: holds other things than polygons: leave them out")
    classes = BINARY if scheme is None or not _has_classes(found) else scheme
    codes = _codes_of(path, found, classes)
    back, placed = ~grid.transform, _in_grid_crs(path, found, grid)
    shapes = shapely.transform(placed, lambda points: np.column_stack(applied(back, *points.T)))
    return PolygonTruth(tuple(shapely.to_wkb(shapes)), tuple(codes), classes)


def _in_grid_crs(path: Path, found: Shapes, grid: Grid) -> npt.NDArray[np.object_]:
    if found.crs is None or grid.crs is None:
        if found.crs is not None:
            raise InputError(f"{path}: has a CRS, but the scenes have none: give polygons in pixels, without CRS")
        return found.geometries
    target = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    if found.crs.equals(target, ignore_axis_order=True):
        return found.geometries
    return projected(found.geometries, found.crs, target, str(path))


def _has_classes(found: Shapes) -> bool:
    return "code" in found.columns or {"from_class", "to_class"} <= set(found.columns)


def _codes_of(path: Path, found: Shapes, scheme: ClassScheme) -> list[int]:
    """The from-to code of each polygon; names come before numbers, which other class schemes use too."""
    if scheme.is_binary:
        return [1] * len(found.geometries)
    if not {"from_class", "to_class"} <= set(found.columns):
        return [_checked_code(path, value, scheme) for value in found.columns["code"]]
    ids = {cover.name: number for number, cover in enumerate(scheme.land_covers, 1)}
    codes = []
    for before, after in zip(found.columns["from_class"], found.columns["to_class"], strict=True):
        for name in (before, after):
            if name not in ids:
                raise InputError(f"{path}: {name!r} is no class of {scheme.name}; these are {', '.join(ids)}")
        codes.append(int(scheme.encode(ids[before], ids[after])))
    return codes


def _checked_code(path: Path, value: Any, scheme: ClassScheme) -> int:
    is_number = isinstance(value, int | float)
    if not is_number or not 0 <= value <= len(scheme.transitions) or value != int(value):
        raise InputError(
            f"{path}: {value} is no from-to code of {scheme.name}; these are 0 to {len(scheme.transitions)}"
        )
    return int(value)
