"""What truly changed in a scene pair, by window of its grid: from a raster of labels or from labelled polygons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.errors
import pyproj
import rasterio.features
import shapely
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.classes import BINARY, CLASSES_TAG, IGNORE, NO_CHANGE, ClassScheme, scheme_from_json
from geofcs.errors import InputError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid, applied
from geofcs.scene.alignment import Placement, overlap, place
from geofcs.scene.files import RasterFile
from geofcs.scene.source import PixelReader, Source, mask_source, own_grid
from geofcs.scene.vectors import local_vector
from geofcs.scene.warp import on_grid
from geofcs.training.data.sample import Image

VECTOR_SUFFIXES = frozenset({".gpkg", ".geojson", ".fgb", ".shp", ".parquet"})

UNKNOWN = -1
"""The code of pixels about which the truth says nothing."""

CHANGED_VALUES = (1, 255)
"""What a change map without class scheme marks changes with, unless it is told."""

Codes = npt.NDArray[np.int64]


class Layers(Protocol):
    """Codes by window, for one thread."""

    def read(self, window: Window) -> Codes:
        """(h, w) from-to codes, 0 = no change, -1 = unknown."""
        ...


@dataclass(frozen=True)
class RasterTruth:
    """A raster of from-to codes, or of changed and unchanged, on the grid of a pair.

    `changed` are the values that mean "changed" where the scheme is binary.
    """

    source: Source
    placement: Placement
    grid: Grid
    scheme: ClassScheme
    changed: tuple[int, ...]

    @contextmanager
    def open(self) -> Iterator[Layers]:
        """A reader for the calling thread."""
        with ExitStack() as opening:
            opening.enter_context(gdal_settings())
            yield _RasterLayers(self, on_grid(opening.enter_context(self.source.open()), self.grid, self.placement))


@dataclass(frozen=True)
class _RasterLayers:
    truth: RasterTruth
    pixels: PixelReader

    def read(self, window: Window) -> Codes:
        """Codes, checked."""
        found = self.pixels.read(window)
        values, valid = found.values[0], found.validity
        if self.truth.scheme.is_binary:
            codes = self._binary(values, valid, window)
        else:
            codes = values.astype(np.int64)
            last = len(self.truth.scheme.transitions)
            self._refuse(
                valid & ((codes < 0) | (codes > last) | (codes != values)), values, window, f"codes 0 to {last}"
            )
        return np.where(valid, codes, UNKNOWN)

    def _binary(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], window: Window) -> Codes:
        changed = np.isin(values, self.truth.changed)
        if self.truth.changed == CHANGED_VALUES:
            self._refuse(
                valid & ~changed & (values != NO_CHANGE), values, window, "0 for unchanged, 1 or 255 for changed"
            )
        return changed.astype(np.int64)

    def _refuse(self, wrong: npt.NDArray[np.bool_], values: npt.NDArray[Any], window: Window, allowed: str) -> None:
        if wrong.any():
            row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
            raise InputError(
                f"{self.truth.source.file.path}: holds {values[row, col]:g} at row {int(row + window.row_off)}, column "
                f"{int(col + window.col_off)} of the scenes' grid; allowed: {allowed}; from-to codes need --classes, "
                "another mark of change --changed-value"
            )


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


Truth = RasterTruth | PolygonTruth


def plan_truth(
    path: Path, grid: Grid, scheme: ClassScheme | None, *, changed_value: int | None = None, scene: str = "T1"
) -> Truth:
    """How the truth in a file comes onto the grid of a pair.

    A raster's classes are those it carries, else `scheme`, else binary. Polygons have the attributes from_class and
    to_class, or code; without them they say changed only. Raises `InputError` for files that cannot be used.
    """
    if path.suffix.lower() in VECTOR_SUFFIXES:
        return _polygon_truth(path, grid, scheme)
    with gdal_settings():
        return _raster_truth(path, grid, scheme, changed_value, scene)


def labels_in(codes: Codes, scheme: ClassScheme) -> tuple[Image, Image, Image]:
    """Change, and class ids at both dates, (h, w) uint8 with 255 where unknown (ids: throughout, if binary)."""
    unknown = codes == UNKNOWN
    change = np.where(unknown, IGNORE, codes > 0).astype(np.uint8)
    if scheme.is_binary:
        return change, np.full_like(change, IGNORE), np.full_like(change, IGNORE)
    covers = len(scheme.land_covers)
    ids = (np.where(codes > 0, 1 + (codes - 1) // covers, 0), np.where(codes > 0, 1 + (codes - 1) % covers, 0))
    label1, label2 = (np.where(unknown, IGNORE, each).astype(np.uint8) for each in ids)
    return change, label1, label2


def _raster_truth(
    path: Path, grid: Grid, scheme: ClassScheme | None, changed_value: int | None, scene: str
) -> RasterTruth:
    source, placement, carried = placed(path, grid, scene)
    classes = BINARY if changed_value is not None else carried or scheme or BINARY
    changed = CHANGED_VALUES if changed_value is None else (changed_value,)
    if carried is not None and carried.is_binary:
        changed = (1,) if changed_value is None else changed
    return RasterTruth(source, placement, grid, classes, changed)


def placed(path: Path, grid: Grid, scene: str) -> tuple[Source, Placement, ClassScheme | None]:
    """A raster of labels, how it comes onto the grid of a pair, and the classes it carries; raises `InputError`."""
    with RasterFile.found_at(str(path)).inspected() as (file, dataset):
        own = own_grid(file, dataset, None)
        if own.crs is None:
            if own.shape != grid.shape:
                raise InputError(
                    f"{path}: has no CRS, and not the {grid.width} x {grid.height} pixels that are compared: give a "
                    "truth of their size, or one with a CRS"
                )
            own = grid
        source = replace(mask_source(file, dataset, own), nodata=dataset.nodata)
        carried = _carried_scheme(dataset)
    if own.crs is not None:
        overlap(grid, own, (scene, str(path)))
    return source, place(own, grid, "nearest", str(path)), carried


def _carried_scheme(dataset: DatasetReader) -> ClassScheme | None:
    text = dataset.tags().get(CLASSES_TAG)
    return None if text is None else scheme_from_json(text)


def _polygon_truth(path: Path, grid: Grid, scheme: ClassScheme | None) -> PolygonTruth:
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
