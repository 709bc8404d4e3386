"""The rasters that polygons are made from: a change raster, with its change scores if there are any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geofcs.classes import CLASSES_TAG, NO_CHANGE, PERCENT_NODATA, ClassScheme, scheme_from_json
from geofcs.errors import InputError, SourceError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.remote import parse_address
from geofcs.vector.windows import Block

Pixels = npt.NDArray[Any]


class Source(Protocol):
    """From-to codes of `grid` and `scheme`; `nodata` is that of pixels that are not valid, `name` what to call it."""

    @property
    def name(self) -> str: ...
    @property
    def grid(self) -> Grid: ...
    @property
    def scheme(self) -> ClassScheme: ...
    @property
    def nodata(self) -> int: ...

    def read(self, block: Block) -> tuple[Pixels, Pixels | None]:
        """From-to codes of a block's window, 0 around the raster, and the change scores in percent if there are any.

        Raises a `GeofcsError` when pixels cannot be read.
        """
        ...


@dataclass(frozen=True)
class Files:
    """The open rasters; one thread at a time may read them."""

    change: Any
    probability: Any | None


@dataclass(frozen=True)
class ChangeSource:
    """A change raster and, on the same pixels, the change scores in percent; opened as often as there are threads."""

    name: str
    idle: SimpleQueue[Files]
    grid: Grid
    scheme: ClassScheme
    nodata: int

    def read(self, block: Block) -> tuple[Pixels, Pixels | None]:
        """From-to codes of a block's window, 0 around the raster, and the change scores if there are any.

        Raises `SourceError` when pixels cannot be read, `InputError` for codes that the scheme does not have.
        """
        files = self.idle.get()
        try:
            codes = framed(block, _read_window(files.change, *block.inside), NO_CHANGE)
            percent = None
            if files.probability is not None:
                percent = framed(block, _read_window(files.probability, *block.inside), PERCENT_NODATA)
        finally:
            self.idle.put(files)
        self._check(codes, block)
        return codes, percent

    def _check(self, codes: Pixels, block: Block) -> None:
        is_unknown = (codes > len(self.scheme.transitions)) & (codes != self.nodata)
        if is_unknown.any():
            row, col = np.argwhere(is_unknown)[0]
            raise InputError(
                f"{self.name}: code {codes[row, col]} at row {block.top - 1 + row}, column "
                f"{block.left - 1 + col} is none of the {len(self.scheme.transitions)} of class scheme "
                f"{self.scheme.name!r}: give the right one with --classes"
            )


@contextmanager
def open_source(
    change: str | Path, probability: str | Path | None, scheme: ClassScheme | None, threads: int = 1
) -> Iterator[ChangeSource]:
    """Open the rasters for so many threads; `scheme` None takes the one that the change raster carries.

    Raises `InputError` if they do not fit.
    """
    with ExitStack() as stack:
        stack.enter_context(gdal_settings())
        idle: SimpleQueue[Files] = SimpleQueue()
        for _ in range(threads):
            files = Files(
                stack.enter_context(_opened(change)),
                None if probability is None else stack.enter_context(_opened(probability)),
            )
            idle.put(files)
        file = files.change
        if file.count != 1 or file.dtypes[0] not in ("uint8", "uint16"):
            raise InputError(
                f"{change}: has {file.count} band(s) of {file.dtypes[0]}; from-to codes are one band of uint8 or "
                "uint16, as in change.tif of geofcs detect"
            )
        if files.probability is not None:
            _check_same_grid(file, files.probability)
        nodata = np.iinfo(file.dtypes[0]).max if file.nodata is None else int(file.nodata)
        grid = Grid(file.crs, file.transform, file.height, file.width)
        yield ChangeSource(file.name, idle, grid, scheme or _carried_scheme(file), nodata)


def _opened(path: str | Path) -> Any:
    address = parse_address(str(path))
    if not address.is_local:
        raise InputError(f"{address.shown}: polygons are made from a raster on this machine: download it first")
    try:
        return rasterio.open(Path(address.rest), driver="GTiff")
    except RasterioError as error:
        raise InputError(
            f"{path}: cannot be opened as a GeoTIFF ({error}): check the path; gdal_translate converts other formats"
        ) from error


def _check_same_grid(change: Any, scores: Any) -> None:
    if scores.count != 1 or scores.dtypes[0] != "uint8":
        raise InputError(
            f"{scores.name}: has {scores.count} band(s) of {scores.dtypes[0]}; change scores in percent are one band "
            "of uint8, as in probability.tif of geofcs detect"
        )
    is_same_place = scores.crs == change.crs and scores.transform.almost_equals(change.transform)
    if scores.shape != change.shape or not is_same_place:
        raise InputError(
            f"{scores.name}: its grid ({_placed(scores)}) is not that of {change.name} ({_placed(change)}): "
            "give the probability.tif of the same run"
        )


def _placed(file: Any) -> str:
    at = file.transform
    return f"{file.width} x {file.height} pixels of {at.a:g} at {at.c:.10g}, {at.f:.10g}, {file.crs or 'no CRS'}"


def _carried_scheme(file: Any) -> ClassScheme:
    text = file.tags().get(CLASSES_TAG)
    if text is None:
        raise InputError(
            f"{file.name}: does not tell its classes: give them with --classes (second, landsat or binary)"
        )
    return scheme_from_json(text)


def framed(block: Block, inside: Pixels, around: int) -> Pixels:
    """A block's window, `around` outside the raster; `inside` are its pixels in it."""
    rows, cols = block.inside
    top, left = block.top - 1, block.left - 1
    pixels = np.full(block.window_shape, around, inside.dtype)
    pixels[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left] = inside
    return pixels


def _read_window(file: Any, rows: slice, cols: slice) -> Pixels:
    """Rows and columns of a file as an array: errors in reading raise only so."""
    try:
        return np.asarray(file.read(1, window=Window.from_slices(rows, cols)))
    except RasterioError as error:
        raise SourceError(
            f"{file.name}: rows {rows.start} to {rows.stop - 1} cannot be read ({error}): the file is damaged, "
            "make it anew"
        ) from error
