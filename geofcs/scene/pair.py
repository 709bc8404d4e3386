"""Two scenes on one grid: what is kept of them, and their pixels by window."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.scene.alignment import Placement, Straight, Warp
from geofcs.scene.aoi import Aoi
from geofcs.scene.source import PixelReader, Pixels, Source
from geofcs.scene.stretch import Stretch
from geofcs.scene.warp import on_grid


@dataclass(frozen=True)
class PairPixels:
    """A window of both scenes: (3, h, w) float32, 0-255, and where both are valid, (h, w) bool.

    Invalid pixels hold some finite number.
    """

    t1: npt.NDArray[np.float32]
    t2: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairValues:
    """A window of both scenes before scaling: (3, h, w) of some float type; anything where not valid (h, w).

    Arrays may be shared with the reader: they are not to be written to.
    """

    t1: npt.NDArray[np.floating]
    t2: npt.NDArray[np.floating]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskLayer:
    """A raster whose nonzero pixels are left out, and how it comes onto the grid."""

    source: Source
    placement: Placement


@dataclass(frozen=True)
class SceneDate:
    """One scene of a pair: its file and bands, how it comes onto the grid, how its values become 0-255.

    `stretch` is None where they are 0-255 as they stand; `date` is the file's own, as YYYY-MM-DD.
    """

    source: Source
    placement: Placement
    mask: MaskLayer | None
    stretch: Stretch | None
    date: str | None

    @property
    def path(self) -> str:
        """The file."""
        return self.source.file.path

    @property
    def warped(self) -> bool:
        """Whether pixels are resampled rather than read as they are."""
        return isinstance(self.placement, Warp)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the pixels, ready for JSON."""
        source = self.source
        return {
            **_described_file(source),
            "grid": _described_grid(source.grid),
            "dtype": source.dtype,
            "bands": [
                {"number": number, "label": label} for number, label in zip(source.bands, source.labels, strict=True)
            ],
            "palette": source.palette,
            "nodata": source.nodata,
            "alpha_band": source.alpha,
            "masks_of_bands": list(source.mask_bands),
            "scales": list(source.scales),
            "offsets": list(source.offsets),
            "placement": _described_placement(self.placement),
            "stretch": self.stretch and {"low": list(self.stretch.low), "high": list(self.stretch.high)},
            "mask": self.mask
            and {**_described_file(self.mask.source), "placement": _described_placement(self.mask.placement)},
            "date": self.date,
        }


@dataclass(frozen=True)
class ScenePair:
    """Two scenes on one grid. It can be pickled: it knows how to open them, and holds nothing open.

    `notes` are sentences for the user: what was taken for what, and what looks doubtful.
    """

    grid: Grid
    t1: SceneDate
    t2: SceneDate
    aoi: Aoi | None
    notes: tuple[str, ...]

    def open(self) -> PairReader:
        """A reader for the calling thread, to be used in a `with` statement."""
        return PairReader(self)

    def check_unchanged(self) -> None:
        """Raise `InputError` if a scene or a mask is another file than when the pair was planned."""
        for date in (self.t1, self.t2):
            date.source.file.check_unchanged()
            if date.mask:
                date.mask.source.file.check_unchanged()

    def describe(self) -> dict[str, Any]:
        """Everything that decides the pixels, ready for JSON."""
        return {
            "grid": _described_grid(self.grid),
            "t1": self.t1.describe(),
            "t2": self.t2.describe(),
            "aoi": self.aoi and {"text": self.aoi.text, "sha256": self.aoi.sha256},
        }


class PairReader:
    """Both scenes' pixels by window of the grid; one thread's own."""

    def __init__(self, pair: ScenePair) -> None:
        self._pair = pair
        self._open = ExitStack()

    def __enter__(self) -> PairReader:
        """Open the files; `SourceError` if one is not what it was when the pair was planned."""
        with ExitStack() as opening:
            opening.enter_context(gdal_settings())
            self._t1 = _DateReader(self._pair.t1, self._pair.grid, opening)
            self._t2 = _DateReader(self._pair.t2, self._pair.grid, opening)
            self._open = opening.pop_all()
        self._aoi = self._pair.aoi and self._pair.aoi.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def read(self, window: Window) -> PairPixels:
        """The pixels of a window inside the grid; `SourceError` if a file cannot be read."""
        values = self.read_values(window)
        return PairPixels(
            _as_bytes(values.t1, values.valid, self._pair.t1),
            _as_bytes(values.t2, values.valid, self._pair.t2),
            values.valid,
        )

    def read_values(self, window: Window) -> PairValues:
        """The same before radiometric scaling."""
        t1, t2 = self._t1.read(window), self._t2.read(window)
        marks = [pixels.valid for pixels in (t1, t2) if pixels.valid is not None]
        if self._aoi:
            marks.append(self._aoi.read(window))
        valid = np.logical_and.reduce(marks) if marks else t1.validity
        return PairValues(t1.values, t2.values, valid)


class _DateReader:
    """One scene's values as red, green and blue on the grid, valid where its mask allows."""

    def __init__(self, scene: SceneDate, grid: Grid, opening: ExitStack) -> None:
        self._pixels = on_grid(opening.enter_context(scene.source.open()), grid, scene.placement)
        self._mask: PixelReader | None = None
        if scene.mask:
            self._mask = on_grid(opening.enter_context(scene.mask.source.open()), grid, scene.mask.placement)

    def read(self, window: Window) -> Pixels:
        pixels = self._pixels.read(window)
        if len(pixels.values) == 1:
            pixels = Pixels(np.repeat(pixels.values, 3, axis=0), pixels.valid)
        if self._mask is None:
            return pixels
        mask = self._mask.read(window)
        left_out = mask.validity & (mask.values[0] != 0)
        return Pixels(pixels.values, pixels.validity & ~left_out)


def _as_bytes(
    values: npt.NDArray[np.floating], valid: npt.NDArray[np.bool_], scene: SceneDate
) -> npt.NDArray[np.float32]:
    """Values as float32, 0-255; 0 where not valid, if they might not be finite there."""
    if scene.stretch:
        values = scene.stretch.apply(values)
    elif isinstance(scene.placement, Straight):
        return values.astype(np.float32, copy=False)
    else:
        values = np.clip(values, 0, 255)  # kernels such as cubic overshoot
    return np.where(valid, values, np.float32(0)).astype(np.float32, copy=False)


def _described_file(source: Source) -> dict[str, Any]:
    (_, state), *named = source.file.parts
    described = {"path": source.file.path, **state.as_json()}
    if named:
        states = json.dumps([[address.shown, each.as_json()] for address, each in named], sort_keys=True)
        described["sources"] = {"count": len(named), "sha256": hashlib.sha256(states.encode()).hexdigest()}
    return described


def _described_grid(grid: Grid) -> dict[str, Any]:
    return {
        "crs": grid.crs and grid.crs.to_wkt(),
        "transform": list(grid.transform)[:6],
        "height": grid.height,
        "width": grid.width,
    }


def _described_placement(placement: Placement) -> dict[str, Any]:
    if isinstance(placement, Straight):
        return {"warped": False, "row": placement.row, "col": placement.col}
    return {
        "warped": True,
        "resampling": placement.resampling,
        "xscale": placement.xscale,
        "yscale": placement.yscale,
        "cell": [placement.cell_height, placement.cell_width],
    }
