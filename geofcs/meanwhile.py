"""A process of its own that makes a run's products while others compute their tiles.

In the same process its threads would keep those that feed a GPU waiting for the interpreter: tiles took twice as long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from multiprocessing.connection import Connection, Pipe
from typing import Any

from geofcs.errors import ComputeError, GeofcsError
from geofcs.making import Making, Wanted
from geofcs.raster import Product
from geofcs.vector import PolygonCounts

COMPLETE, ABANDON = "complete", "abandon"
"""What the process is told: that all strips are there, and that nobody wants the products any more."""


class News(Enum):
    """What it tells, each with one thing."""

    RASTER_PIXELS = "pixels of rasters that are written and compared"
    FINISHED = "the number of a product that is finished"
    RASTERS = "None: all of them are"
    POLYGON_PIXELS = "pixels that were looked through for polygons"
    POLYGONS = "how many these are"
    ERROR = "the `GeofcsError` that it ends with"


SECONDS_TO_END = 10.0
"""How long a process that was told so may take to clear what it had begun."""


@contextmanager
def making_meanwhile(wanted: Wanted) -> Iterator[MadeMeanwhile]:
    """Products under way from now on. What is not asked for by the end of the context comes to nothing."""
    here, there = Pipe()
    with here, there:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from geofcs.meanwhile import serve; serve({there.fileno()})"],
            pass_fds=[there.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt of the terminal is for this process to answer
        )
        there.close()
        made = MadeMeanwhile(process, here)
        try:
            here.send(wanted)
            yield made
        finally:
            made.abandon()


class MadeMeanwhile:
    """What `Making` is, for products that another process makes."""

    def __init__(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._process, self._connection = process, connection

    def all_strips_are_there(self) -> None:
        """From now on one that is missing is an error."""
        self._say(COMPLETE)

    def finish_rasters(
        self, products: Sequence[Product], progress: Callable[[int], None], finished: Callable[[Product], None]
    ) -> None:
        """Have all of them written and compared, as `write_products` says."""
        for kind, what in self._news():
            if kind == News.RASTER_PIXELS:
                progress(what)
            elif kind == News.FINISHED:
                finished(products[what])
            else:
                return

    def finish_polygons(self, progress: Callable[[int], None]) -> PolygonCounts:
        """Have them written, as `polygons_of` says; `progress` is told of pixels done, those done before included."""
        news = self._news()
        for kind, what in news:
            if kind != News.POLYGON_PIXELS:
                break
            progress(what)
        counts: PolygonCounts = what
        return counts

    def _news(self) -> Iterator[tuple[News, Any]]:
        """What the process tells. Raises what it failed with, `ComputeError` where it was ended."""
        while True:
            try:
                kind, what = self._connection.recv()
            except (EOFError, ConnectionError) as error:
                raise ComputeError(
                    f"the process that makes rasters and polygons was ended (exit code {self._process.wait()}), mostly "
                    "for want of memory: end what else takes it, and give the same command again"
                ) from error
            if kind == News.ERROR:
                raise what
            yield kind, what

    def _say(self, what: str) -> None:
        with suppress(OSError):  # it has ended, as its next news would tell
            self._connection.send(what)

    def abandon(self) -> None:
        """End the process, and wait for it."""
        self._say(ABANDON)
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(descriptor: int) -> None:
    """The process: make what it is told to, tell how it gets on."""
    connection = Connection(descriptor)
    wanted: Wanted = connection.recv()
    with Making(wanted) as making:
        threading.Thread(target=_listen, args=(connection, making), daemon=True).start()
        making.begin()
        tell = _Telling(connection)
        try:
            making.await_all_strips()
            making.finish_rasters(
                wanted.products,
                lambda pixels: tell(News.RASTER_PIXELS, pixels),
                lambda product: tell(News.FINISHED, wanted.products.index(product)),
            )
            tell(News.RASTERS, None)
            tell(News.POLYGONS, making.finish_polygons(lambda pixels: tell(News.POLYGON_PIXELS, pixels)))
        except GeofcsError as error:
            tell(News.ERROR, error)


def _listen(connection: Connection, making: Making) -> None:
    """Pass on what the run says. Where it ended without a word, another may have taken its place: leave at once."""
    while True:
        try:
            said = connection.recv()
        except (EOFError, OSError):
            os._exit(ComputeError.exit_code)
        if said == COMPLETE:
            making.all_strips_are_there()
        else:
            making.give_up()
            return


class _Telling:
    """Sends from many threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._one_at_a_time = connection, threading.Lock()

    def __call__(self, kind: News, what: Any) -> None:
        with self._one_at_a_time:
            self._connection.send((kind, what))
