"""Stored pixels of one raster by window: as they are from a disk, and from a server only what is sure to be right.

Over a network a failed request can leave a handle that fails for ever, or one that takes internal tiles for empty and
returns zeros (or nodata) without a word; a wrong answer can send it to other tiles. A handle that failed is therefore
replaced, and what a handle read counts only if it looked for every internal tile where that lies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.errors import InputError, SourceError
from geofcs.remote.patience import attempts
from geofcs.scene.files import READ_FAILURES, RasterFile, read_failure
from geofcs.scene.formats import GEOTIFF
from geofcs.scene.index import TileIndex

Layers = tuple[npt.NDArray[Any], ...]
"""Arrays (..., h, w) over one and the same window."""

Take = Callable[[DatasetReader], Layers]


class Handle:
    """A dataset of the calling thread, and how to read it whatever the network does."""

    def __init__(self, file: RasterFile) -> None:
        self.file = file
        self.dataset = file.open_again()
        self._index: TileIndex | None = None
        if not file.address.is_local and not file.address.archive and file.driver == GEOTIFF:
            self._index = TileIndex.of(self.dataset, file.read_bytes, file.path)

    def close(self) -> None:
        """Close the dataset."""
        self.dataset.close()

    def read(self, bands: tuple[int, ...], masks: bool, take: Take, window: Window, what: str) -> Layers:
        """What `take` reads of a window: layers of these bands and, with `masks`, a last one of masks.

        Raises `SourceError` if that cannot be had, `InputError` if the file has changed.
        """
        if self.file.address.is_local:
            return self._once(take, what)
        if self._index is None:
            return self._agreed(take, what)
        for attempt in attempts():
            if attempt:
                self._renew()
            found = self._in_spite_of_failures(
                partial(self._in_the_right_places, self._index, bands, take, window), what
            )
            if found:
                doubtful = masks and self._index.has_empty_tile(found[-1], window)  # masks have an index of their own
                return self._agreed(take, what) if doubtful else found
        raise read_failure(self.file, what, InputError("its internal tiles are looked for in wrong places each time"))

    def _in_the_right_places(
        self, index: TileIndex, bands: tuple[int, ...], take: Take, window: Window, dataset: DatasetReader
    ) -> Layers:
        """What `take` reads, or nothing if the dataset looked elsewhere."""
        found = take(dataset)
        return found if index.is_that_of(dataset, bands, window) else ()

    def _agreed(self, take: Take, what: str) -> Layers:
        """What two handles in a row read."""
        found = self._in_spite_of_failures(take, what)
        for _ in attempts():
            self._renew()
            again = self._in_spite_of_failures(take, what)
            if all(np.array_equal(one, other) for one, other in zip(found, again, strict=True)):
                return again
            found = again
        raise read_failure(self.file, what, InputError("it comes differently each time"))

    def _in_spite_of_failures(self, take: Take, what: str) -> Layers:
        """What `take` reads, each time through a fresh handle, with a pause between."""
        failure: SourceError | None = None
        for attempt in attempts():
            try:
                if attempt:
                    self._renew()
                return self._once(take, what)
            except SourceError as error:
                failure = error
        assert failure is not None
        raise failure

    def _once(self, take: Take, what: str) -> Layers:
        try:
            return take(self.dataset)
        except READ_FAILURES as error:
            raise read_failure(self.file, what, error) from error

    def _renew(self) -> None:
        """A fresh handle; closing the old one makes GDAL forget what it kept of the file."""
        self.dataset.close()
        self.dataset = self.file.open_again()
