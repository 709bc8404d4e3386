"""What truly changed in a scene pair, by window of its grid: from a raster of labels or from labelled polygons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.classes import BINARY, CLASSES_TAG, IGNORE, NO_CHANGE, ClassScheme, scheme_from_json
from geofcs.errors import InputError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.scene.alignment import Placement, overlap, place
from geofcs.scene.files import RasterFile
from geofcs.scene.source import PixelReader, Source, mask_source, own_grid
from geofcs.scene.warp import on_grid
from geofcs.training.data.codes import UNKNOWN, Codes, Layers
from geofcs.training.data.polygons import VECTOR_SUFFIXES, PolygonTruth, polygon_truth
from geofcs.training.data.sample import Image

CHANGED_VALUES = (1, 255)
"""What a change map without class scheme marks changes with, unless it is told."""


@dataclass(frozen=True)
class RasterTruth:
    """A raster of from-to codes, or of changed and unchanged, on the grid of a pair.

    `changed` are the values that mean "changed" where the scheme is binary. `doubt` is a sentence on a scheme that the
    raster does not name itself.
    """

    source: Source
    placement: Placement
    grid: Grid
    scheme: ClassScheme
    changed: tuple[int, ...]
    doubt: str | None = None

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


Truth = RasterTruth | PolygonTruth


def plan_truth(
    path: Path, grid: Grid, scheme: ClassScheme | None, *, changed_value: int | None = None, scene: str = "T1"
) -> Truth:
    """How the truth in a file comes onto the grid of a pair.

    A raster's classes are those it carries, else `scheme`, else binary. Polygons have the attributes from_class and
    to_class, or code; without them they say changed only. Raises `InputError` for files that cannot be used.
    """
    if path.suffix.lower() in VECTOR_SUFFIXES:
        return polygon_truth(path, grid, scheme)
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
    doubt = None
    if carried is None and not classes.is_binary:
        doubt = (
            f"{path}: names no classes: its values are taken for from-to codes of {classes.name}; if they only tell "
            "what changed, say --changed-value"
        )
    return RasterTruth(source, placement, grid, classes, changed, doubt)


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
