"""The products of a run, made of its strips: while these come, or once all of them are there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geofcs.classes import NO_CHANGE, PERCENT_NODATA, ClassScheme
from geofcs.errors import StoppedError
from geofcs.grid import Grid
from geofcs.mosaic import Mosaic
from geofcs.product import Product
from geofcs.raster import Begun, products_begun
from geofcs.records import Described
from geofcs.report import versions
from geofcs.vector.counts import PolygonCounts
from geofcs.vector.polygonize import polygons_of
from geofcs.vector.source import Pixels, framed
from geofcs.vector.windows import Block
from geofcs.wanted import POLYGONS, Wanted

SECONDS_BETWEEN_LOOKS = 0.05
"""At whether a strip is there."""


@dataclass(frozen=True)
class StripSource:
    """What polygons are made of: bands of the strips of which raster `name` is made as well."""

    name: str
    mosaic: Mosaic
    grid: Grid
    scheme: ClassScheme

    @property
    def nodata(self) -> int:
        """The code of pixels that are not valid."""
        return self.scheme.nodata

    def read(self, block: Block) -> tuple[Pixels, Pixels]:
        """From-to codes and change scores in percent of a block's window. Raises `VerificationError`."""
        codes, percent = self.mosaic.read((1, 2), *block.inside, self.scheme.code_dtype)
        return framed(block, codes, NO_CHANGE), framed(block, percent.astype(np.uint8), PERCENT_NODATA)


class Making:
    """Rasters and polygons on their way. What is not asked for by the end of the context comes to nothing."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted, self._arrivals = wanted, Arrivals()
        self._strips = replace(wanted.strips, wait=self._arrivals.wait)
        self._rasters: Begun | None = None
        self._polygons: Future[PolygonCounts] | None = None
        self._done = Count()
        self._stack = ExitStack()

    def __enter__(self) -> Making:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abandon()

    def begin(self, products: Sequence[Product]) -> None:
        """Have these rasters and the polygons made side by side, so that most strips are decoded once for both."""
        threads = self._wanted.threads
        for_polygons = max(1, threads // 2) if products else threads
        self.begin_rasters(products, max(1, threads - for_polygons))
        self.begin_polygons(for_polygons)

    def begin_rasters(self, products: Sequence[Product], threads: int) -> None:
        """Have what strips there are compressed, and those to come."""
        wanted = self._wanted
        begun = products_begun(wanted.folder, products, self._strips, wanted.grid, wanted.scheme, threads)
        self._rasters = self._stack.enter_context(begun)

    def begin_polygons(self, threads: int) -> None:
        """Have polygons found in what strips there are, and in those to come."""
        wanted = self._wanted
        pool = self._stack.enter_context(ThreadPoolExecutor(1, "geofcs-polygons"))
        source = StripSource(
            str(wanted.folder / wanted.products[0].file_name), self._strips, wanted.grid, wanted.scheme
        )
        self._polygons = pool.submit(
            polygons_of, source, wanted.folder / POLYGONS, wanted.date, threads=threads, progress=self._done,
            **wanted.polygons,
        )  # fmt: skip

    def all_strips_are_there(self) -> None:
        """From now on one that is missing is an error."""
        self._arrivals.complete()

    def await_all_strips(self) -> None:
        """Come back when somebody has said that they are there. Raises `StoppedError` when nobody wants them."""
        self._arrivals.await_all()

    def finish_rasters(self, progress: Callable[[int], None], finished: Callable[[Described], None]) -> None:
        """Write and check those that were begun, as `Begun.finish` says."""
        assert self._rasters is not None, "rasters were begun"
        self._rasters.finish(progress, finished)

    def finish_polygons(self, progress: Callable[[int], None]) -> PolygonCounts:
        """Write them, as `polygons_of` says; `progress` is told of pixels done, those done before included."""
        assert self._polygons is not None, "polygons were begun"
        self._done.tell(progress)
        return self._polygons.result()

    def versions(self) -> dict[str, str]:
        """Of what makes them."""
        return versions()

    def give_up(self) -> None:
        """Let nobody wait for strips any more."""
        self._arrivals.abandon()

    def abandon(self) -> None:
        """End whatever is under way, and wait for it."""
        self.give_up()
        self._stack.close()


class Arrivals:
    """Strips whose files come by and by, from whoever computes them."""

    def __init__(self) -> None:
        self._is_abandoned = False
        self._news = threading.Event()

    def wait(self, path: Path) -> None:
        """Come back when a file is there, or when no more will come. Raises `StoppedError` once abandoned."""
        while not (self._news.is_set() or path.exists()):
            self._news.wait(SECONDS_BETWEEN_LOOKS)
        self._check()

    def await_all(self) -> None:
        """Come back when all are there. Raises `StoppedError` once abandoned."""
        self._news.wait()
        self._check()

    def _check(self) -> None:
        if self._is_abandoned:
            raise StoppedError("nobody waits for it any more")

    def complete(self) -> None:
        """All are there."""
        self._news.set()

    def abandon(self) -> None:
        """Nobody wants to know any more."""
        self._is_abandoned = True
        self._news.set()


class Count:
    """Counts what is done, and tells all of it to whoever comes to listen."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._before = 0
        self._listener: Callable[[int], None] | None = None

    def __call__(self, units: int) -> None:
        """So much more is done."""
        with self._one_at_a_time:
            if self._listener is None:
                self._before += units
            else:
                self._listener(units)

    def tell(self, listener: Callable[[int], None]) -> None:
        """Tell of what was done so far, and of everything from now on."""
        with self._one_at_a_time:
            listener(self._before)
            self._listener = listener
