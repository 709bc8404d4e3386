"""What truly changed in a scene pair, from two rasters of class ids: one per date, 0 where nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geofcs.classes import IGNORE, NO_CHANGE, ClassScheme
from geofcs.errors import InputError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.scene.alignment import Placement
from geofcs.scene.source import PixelReader, Source
from geofcs.scene.warp import on_grid
from geofcs.training.data.codes import UNKNOWN, Codes, Layers
from geofcs.training.data.truth import placed


@dataclass(frozen=True)
class DatesTruth:
    """Rasters of the ids at T1 and at T2, in this order, each with its way onto the grid of the pair."""

    sources: tuple[tuple[Source, Placement], tuple[Source, Placement]]
    grid: Grid
    scheme: ClassScheme

    @contextmanager
    def open(self) -> Iterator[Layers]:
        """A reader for the calling thread."""
        with ExitStack() as opening:
            opening.enter_context(gdal_settings())
            first, second = (
                on_grid(opening.enter_context(source.open()), self.grid, placement)
                for source, placement in self.sources
            )
            yield _DateLayers(self, (first, second))


@dataclass(frozen=True)
class _DateLayers:
    truth: DatesTruth
    pixels: tuple[PixelReader, PixelReader]

    def read(self, window: Window) -> Codes:
        """Codes, checked."""
        before, after = (self._ids(date, window) for date in (0, 1))
        known = (before != UNKNOWN) & (after != UNKNOWN)
        halves = known & ((before == NO_CHANGE) != (after == NO_CHANGE))
        self._refuse(1, halves, after, window, f"a class where {self._path(0)} has one, and only there")
        changed = known & (before != NO_CHANGE)
        codes = self.truth.scheme.encode(before.clip(1), after.clip(1)).astype(np.int64)
        return np.where(known, np.where(changed, codes, NO_CHANGE), UNKNOWN)

    def _ids(self, date: int, window: Window) -> Codes:
        found = self.pixels[date].read(window)
        values, valid = found.values[0], found.validity & (found.values[0] != IGNORE)
        last = self.truth.scheme.count - 1
        wrong = valid & ((values < 0) | (values > last) | (values != np.floor(values)))
        self._refuse(date, wrong, values, window, f"the ids 0 to {last} of {self.truth.scheme.name}, and 255 to ignore")
        return np.where(valid, values, UNKNOWN).astype(np.int64)

    def _refuse(
        self, date: int, wrong: npt.NDArray[np.bool_], values: npt.NDArray[np.generic], window: Window, allowed: str
    ) -> None:
        if wrong.any():
            row, col = (int(each) for each in np.unravel_index(int(wrong.argmax()), wrong.shape))
            raise InputError(
                f"{self._path(date)}: holds {float(values[row, col]):g} at row {row + int(window.row_off)}, column "
                f"{col + int(window.col_off)} of the scenes' grid; allowed: {allowed}"
            )

    def _path(self, date: int) -> str:
        return self.truth.sources[date][0].file.path


def plan_dates(paths: tuple[Path, Path], grid: Grid, scheme: ClassScheme | None, scene: str) -> DatesTruth:
    """How two rasters of ids come onto the grid of a pair; raises `InputError` where nobody says what ids mean."""
    with gdal_settings():
        first, second = (placed(path, grid, scene) for path in paths)
    classes = first[2] or second[2] or scheme
    if classes is None or classes.is_binary:
        raise InputError(f"{paths[0]}: its ids may be of any classes: say --classes, or name them in classes.json")
    return DatesTruth((first[:2], second[:2]), grid, classes)
