"""All strips of a run as one raster: they are decoded and checked as a whole, for many who want some part of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.strips import Layers, Strip, read_strip

MOST_KEPT = 1 << 28
"""Bytes: what sixteen threads want of the strips of tiles of 512 pixels when each makes another part of a raster."""

FEWEST_KEPT = 6
"""Strips that are kept whatever their size: as many as a part of a raster and a block of polygons meet beside it."""


def at_once(_path: Path) -> None:
    """Nothing is waited for."""


class Recent:
    """Strips that were wanted last, up to `MOST_KEPT` bytes; a copy in another process begins without any."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Strip, _Entry] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def __reduce__(self) -> tuple[type[Recent], tuple[()]]:
        return Recent, ()

    def get(self, strip: Strip, read: Callable[[Strip], Layers]) -> Layers:
        """A strip; whoever wants one that another thread is reading waits for it."""
        with self._one_at_a_time:
            entry = self._entries.setdefault(strip, _Entry())
            self._entries.move_to_end(strip)
        with entry.one_at_a_time:
            if entry.layers is None:
                entry.layers = read(strip)
                self._forget()
            return entry.layers

    def _forget(self) -> None:
        with self._one_at_a_time:
            while len(self._entries) > FEWEST_KEPT and sum(entry.bytes for entry in self._entries.values()) > MOST_KEPT:
                self._entries.popitem(last=False)


@dataclass
class _Entry:
    layers: Layers | None = None
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bytes(self) -> int:
        return 0 if self.layers is None else self.layers.nbytes


@dataclass(frozen=True)
class Mosaic:
    """All strips of a run as one raster. `wait` comes back when the file that it is given is there."""

    folder: Path
    strips: Sequence[Strip]
    wait: Callable[[Path], None] = at_once
    _recent: Recent = field(default_factory=Recent, init=False, compare=False)

    def read(self, bands: Sequence[int], rows: slice, cols: slice, dtype: npt.DTypeLike) -> Layers:
        """Pixels (bands, h, w) of some rows and columns.

        Raises `VerificationError` if a strip cannot be read, or is not what was written: all of it is compared with its
        checksums when it is decoded.
        """
        pixels = np.empty((len(bands), rows.stop - rows.start, cols.stop - cols.start), dtype)
        for strip in self._meeting(rows, cols):
            self.wait(self.folder / strip.name)
            there = strip.within(rows, cols)
            into, own = _counted_from(there, (rows.start, cols.start)), _counted_from(there, (strip.top, strip.left))
            for target, source in zip(pixels, self._bands(strip, bands), strict=True):
                target[into] = source[own]
        return pixels

    def _bands(self, strip: Strip, bands: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
        """Bands of a strip, which are let go of with the last of them."""
        layers = self._recent.get(strip, lambda strip: read_strip(self.folder, strip))
        yield from (layers[band - 1] for band in bands)

    def _meeting(self, rows: slice, cols: slice) -> list[Strip]:
        """The strips that have some of these pixels."""
        top, bottom, left, right = self._sides
        meets = (top < rows.stop) & (bottom > rows.start) & (left < cols.stop) & (right > cols.start)
        return [self.strips[index] for index in np.flatnonzero(meets).tolist()]

    @cached_property
    def _sides(self) -> npt.NDArray[np.int64]:
        """Of all strips: where their rows begin and end, and their columns."""
        sides = [(each.top, each.top + each.height, each.left, each.left + each.width) for each in self.strips]
        return np.array(sides, np.int64).reshape(-1, 4).T


def _counted_from(place: tuple[slice, slice], origin: tuple[int, int]) -> tuple[slice, slice]:
    rows, cols = (slice(each.start - first, each.stop - first) for each, first in zip(place, origin, strict=True))
    return rows, cols
