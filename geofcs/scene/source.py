"""One raster: what is known of it when the run is planned, and its own pixels by window, with their validity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.errors import InputError
from geofcs.grid import Grid
from geofcs.scene.bands import FileBands, choose_bands
from geofcs.scene.crs_files import checked_raster_crs
from geofcs.scene.files import RasterFile
from geofcs.scene.handle import Handle, Layers

MOST_BLOCK_BYTES = 2**30
"""An internal tile is decoded as a whole: beyond this a single window would take the machine's memory."""

LARGE_BLOCK_BYTES = 2**26

EXACT_IN_FLOAT32 = frozenset({"uint8", "int8", "uint16", "int16", "float32", "float16"})


@dataclass(frozen=True)
class Pixels:
    """Values (bands, h, w), float, and where they are valid (h, w), bool; None means everywhere."""

    values: npt.NDArray[np.floating]
    valid: npt.NDArray[np.bool_] | None

    @property
    def validity(self) -> npt.NDArray[np.bool_]:
        """(h, w) bool."""
        return np.ones(self.values.shape[1:], bool) if self.valid is None else self.valid


class PixelReader(Protocol):
    """Pixels by window."""

    def read(self, window: Window) -> Pixels:
        """The pixels of a window."""
        ...


@dataclass(frozen=True)
class Source:
    """How to open a raster again and what to read of it.

    `grid` are its own pixels, `bands` the 1-based numbers to read, `palette` whether these are indices of a colour
    table. Invalid are NaN and infinity, pixels with `nodata` in any band, those where band `alpha` is 0 and those that
    the masks of `mask_bands` leave out. Values are what is stored times `scales` plus `offsets`.
    """

    file: RasterFile
    grid: Grid
    dtype: str
    bands: tuple[int, ...]
    labels: tuple[str, ...]
    palette: bool
    nodata: float | None
    alpha: int | None
    mask_bands: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    @property
    def value_count(self) -> int:
        """Values per pixel: the bands, or red, green and blue of a palette."""
        return 3 if self.palette else len(self.bands)

    @property
    def is_scaled(self) -> bool:
        """Whether the file declares a scale or an offset."""
        return any(scale != 1 for scale in self.scales) or any(offset != 0 for offset in self.offsets)

    @property
    def is_bytes(self) -> bool:
        """Whether values are 0-255 as they stand."""
        return self.palette or (self.dtype == "uint8" and not self.is_scaled)

    def open(self) -> OpenSource:
        """A reader for the calling thread; `SourceError` if the file is not what was planned with."""
        return OpenSource(self)


class OpenSource:
    """A source's own pixels by window."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._handle = Handle(source.file)
        self._float = np.float32 if source.dtype in EXACT_IN_FLOAT32 else np.float64
        self._colours = _colour_table(self._handle.dataset, source.bands[0]) if source.palette else None

    def __enter__(self) -> OpenSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def read(self, window: Window) -> Pixels:
        """The pixels of a window inside the raster; `SourceError` if they cannot be read."""

        def take(dataset: DatasetReader) -> Layers:
            return self._stored(dataset, window)

        bands = (*self.source.bands, *([] if self.source.alpha is None else [self.source.alpha]))
        stored, *masks = self._handle.read(bands, bool(self.source.mask_bands), take, window, window_text(window))
        return Pixels(self._values(stored), self._valid(stored, masks))

    def _stored(self, dataset: DatasetReader, window: Window) -> Layers:
        """What the file holds: the bands, then alpha and masks, if they count."""
        source = self.source
        layers = [dataset.read(source.bands, window=window)]
        if source.alpha is not None:
            layers.append(dataset.read(source.alpha, window=window))
        if source.mask_bands:
            layers.append(dataset.read_masks(source.mask_bands, window=window))
        return tuple(layers)

    def _valid(self, stored: npt.NDArray[Any], masks: list[npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
        """Where all bands are valid, or None where nothing could make them otherwise."""
        source, marks = self.source, []
        if source.nodata is not None:
            marks.append((stored != _as_stored(source.nodata, stored.dtype)).all(axis=0))
        if np.issubdtype(stored.dtype, np.floating):
            marks.append(np.isfinite(stored).all(axis=0))
        marks += [(mask.reshape(-1, *mask.shape[-2:]) != 0).all(axis=0) for mask in masks]
        return np.logical_and.reduce(marks) if marks else None

    def _values(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.floating]:
        if self._colours is not None:
            return self._colours[:, stored[0]]
        values: npt.NDArray[np.floating] = stored.astype(self._float, copy=False)
        if self.source.is_scaled:
            values = values * _per_band(self.source.scales, values) + _per_band(self.source.offsets, values)
        return values


def _as_stored(value: float, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A nodata value as the pixels hold it: rounded to float32 if they are."""
    with np.errstate(over="ignore"):
        return np.array(value).astype(dtype)


def _per_band(numbers: tuple[float, ...], like: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.array(numbers, like.dtype)[:, None, None]


def _colour_table(dataset: DatasetReader, band: int) -> npt.NDArray[np.float32]:
    """(3, entries) red, green and blue of every index that the band's type can hold."""
    table = np.zeros((3, np.iinfo(dataset.dtypes[band - 1]).max + 1), np.float32)
    for index, colour in dataset.colormap(band).items():
        table[:, index] = colour[:3]
    return table


def window_text(window: Window) -> str:
    """A window for messages: "rows 0-511, columns 512-1023"."""
    (top, bottom), (left, right) = window.toranges()
    return f"rows {top}-{bottom - 1}, columns {left}-{right - 1}"


def own_grid(file: RasterFile, dataset: DatasetReader, assume_crs: CRS | None) -> Grid:
    """A file's pixels, with `assume_crs` where it has a position but no CRS.

    A grid without CRS means that the file has no position at all, or a position nobody knows the CRS of. Raises
    `InputError` for positions by ground control points, and for a CRS that names a file.
    """
    own_crs = _own_crs(file, dataset)
    placed = not dataset.transform.almost_equals(Affine.identity())
    if not placed and (dataset.gcps[0] or dataset.rpcs):
        raise InputError(
            f"{file.path}: is placed by ground control points or RPCs only: rectify it first with gdalwarp"
        )
    if dataset.transform.is_degenerate:
        raise InputError(f"{file.path}: its pixels have no extent on the ground: mend it with gdal_edit.py -a_ullr")
    crs = (own_crs or assume_crs) if placed else None
    return Grid(crs, dataset.transform, dataset.height, dataset.width)


def _own_crs(file: RasterFile, dataset: DatasetReader) -> CRS | None:
    try:
        return checked_raster_crs(dataset.crs) if dataset.crs else None
    except ValueError as error:
        raise InputError(f"{file.path}: {error}") from error


def describe_source(file: RasterFile, dataset: DatasetReader, grid: Grid, wanted: str | None) -> tuple[Source, str]:
    """What to read of an open file, and why these bands; `wanted` as in `choose_bands`.

    Raises `InputError` for bands that do not exist, complex numbers and internal tiles too large to read.
    """
    bands = FileBands(
        file.path, tuple(text or "" for text in dataset.descriptions), tuple(c.name for c in dataset.colorinterp)
    )
    choice = choose_bands(bands, wanted)
    dtype = dataset.dtypes[choice.numbers[0] - 1]
    if dtype.startswith("complex"):
        raise InputError(f"{file.path}: holds complex numbers ({dtype}): convert them to intensity first")
    _check_block_size(file, dataset)
    palette = dataset.colorinterp[choice.numbers[0] - 1] == ColorInterp.palette
    source = Source(
        file=file,
        grid=grid,
        dtype=dtype,
        bands=choice.numbers,
        labels=choice.labels,
        palette=palette,
        nodata=_usable_nodata(dataset.nodata, dtype),
        alpha=bands.alpha,
        mask_bands=_mask_bands(dataset, choice.numbers),
        scales=tuple(dataset.scales[number - 1] for number in choice.numbers),
        offsets=tuple(dataset.offsets[number - 1] for number in choice.numbers),
    )
    return source, "an index into its colour table" if palette else choice.reason


def mask_source(file: RasterFile, dataset: DatasetReader, grid: Grid) -> Source:
    """The first band of an open file as it is stored: every value counts, none is invalid."""
    _check_block_size(file, dataset)
    return Source(
        file=file,
        grid=grid,
        dtype=dataset.dtypes[0],
        bands=(1,),
        labels=("1",),
        palette=False,
        nodata=None,
        alpha=None,
        mask_bands=(),
        scales=(1.0,),
        offsets=(0.0,),
    )


def _check_block_size(file: RasterFile, dataset: DatasetReader) -> None:
    size = block_bytes(dataset)
    if size > MOST_BLOCK_BYTES:
        raise InputError(
            f"{file.path}: its internal tiles are {size / 2**30:.1f} GiB each, too large to read in parts: rewrite it "
            "with gdal_translate -co TILED=YES -co BIGTIFF=YES"
        )


def block_bytes(dataset: DatasetReader) -> int:
    """Bytes that GDAL decodes to read any one pixel."""
    height, width = dataset.block_shapes[0]
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    return int(height * width * together * np.dtype(dataset.dtypes[0]).itemsize)


def _usable_nodata(nodata: float | None, dtype: str) -> float | None:
    """The nodata value, unless pixels cannot hold it or are invalid with it anyway, as NaN is."""
    if nodata is None or not math.isfinite(nodata):
        return None
    if np.issubdtype(np.dtype(dtype), np.floating):
        return nodata
    limits = np.iinfo(dtype)
    return nodata if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def _mask_bands(dataset: DatasetReader, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The bands whose masks are to be read, for an internal mask or a .msk file; one is enough where it is shared."""
    flags = [set(dataset.mask_flag_enums[number - 1]) for number in numbers]
    if all(MaskFlags.per_dataset in each and MaskFlags.alpha not in each for each in flags):
        return numbers[:1]
    known = ({MaskFlags.all_valid}, {MaskFlags.nodata})
    return tuple(
        number for number, each in zip(numbers, flags, strict=True) if each not in known and MaskFlags.alpha not in each
    )
