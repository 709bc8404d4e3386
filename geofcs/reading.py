"""The tiles of a block, read ahead of the model by a thread of their own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geofcs.grid import Grid
from geofcs.scene import PairPixels
from geofcs.tiles import Lattice

Item = TypeVar("Item")
Pixels = npt.NDArray[np.float32]

_END = object()


class Reader(Protocol):
    """Both dates' pixels by window, for one thread."""

    def read(self, window: Window) -> PairPixels:
        """The pixels of a window of the grid."""
        ...


class Pair(Protocol):
    """Two scenes on one grid, as `geofcs.scene.ScenePair`."""

    @property
    def grid(self) -> Grid:
        """The grid that windows refer to."""
        ...

    def open(self) -> AbstractContextManager[Reader]:
        """A reader for the calling thread."""
        ...


@dataclass(frozen=True)
class ReadTile:
    """One tile's pixels inside the grid: (3, h, w) per date, and which of them are valid, (h, w)."""

    row: int
    col: int
    t1: Pixels
    t2: Pixels
    valid: npt.NDArray[np.bool_]


def read_tiles(pair: Pair, lattice: Lattice, rows: Iterable[int], cols: Iterable[int]) -> Generator[ReadTile]:
    """The tiles in lattice order, read with handles that belong to the thread that runs this generator."""
    with pair.open() as reader:
        for row, col in itertools.product(rows, cols):
            top, left = lattice.rows.starts[row], lattice.cols.starts[col]
            height = min(lattice.tile, lattice.rows.length - top)
            width = min(lattice.tile, lattice.cols.length - left)
            pixels = reader.read(Window(left, top, width, height))
            yield ReadTile(row, col, pixels.t1, pixels.t2, pixels.valid)


@contextmanager
def prefetched(items: Generator[Item], ahead: int) -> Iterator[Iterator[Item]]:
    """The items of a generator that runs in one thread of its own, up to `ahead` items early.

    A context manager, so that the generator is closed, in its thread, when the block ends, and not whenever the garbage
    collector comes by.
    """
    with ThreadPoolExecutor(1, "geofcs-read") as thread:
        pending = deque(thread.submit(next, items, _END) for _ in range(ahead))
        try:
            yield _drained(pending, lambda: thread.submit(next, items, _END))
        finally:
            for future in pending:
                future.cancel()
            thread.submit(items.close).result()


def _drained(pending: deque[Future[Any]], submit_next: Callable[[], Future[Any]]) -> Iterator[Any]:
    while (item := pending.popleft().result()) is not _END:
        pending.append(submit_next())
        yield item
