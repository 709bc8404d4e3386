"""Processes of their own that make a run's products while others compute its tiles: one rasters, one polygons.

In the run's own process their threads would keep those that feed a GPU waiting for the interpreter: tiles took twice as
long.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from multiprocessing.connection import Connection, Pipe
from typing import Any

from geofcs.errors import ComputeError, GeofcsError
from geofcs.making import Making, Wanted
from geofcs.product import Product
from geofcs.vector import PolygonCounts

SECONDS_TO_END = 10.0
"""How long a process that was told to end may take to clear what it had begun."""

SECONDS_OF_A_TURN = 0.0005
"""For which one thread keeps the interpreter while others want it: they compress and sum up mostly, without it, and
Python's own five milliseconds are longer than most of what they then do with it."""

NICENESS = 5
"""By how much the processes stand back: what feeds a GPU goes before."""


class Part(Enum):
    """What a process makes."""

    RASTERS = "rasters"
    POLYGONS = "polygons"


class Word(Enum):
    """What it is told."""

    COMPLETE = "all strips are there"
    ABANDON = "nobody wants the products any more"


class News(Enum):
    """What it tells, each with one thing."""

    PIXELS = "how many more are done"
    FINISHED = "the number of a product"
    DONE = "how many polygons there are, None of rasters"
    ERROR = "the `GeofcsError` that it ends with"


@contextmanager
def making_meanwhile(wanted: Wanted) -> Iterator[MadeMeanwhile]:
    """Products under way from now on. What is not asked for by the end of the context comes to nothing."""
    with ExitStack() as stack:
        rasters, polygons = (stack.enter_context(_making(wanted, part)) for part in (Part.RASTERS, Part.POLYGONS))
        made = MadeMeanwhile(rasters, polygons)
        stack.callback(made.abandon)
        yield made


class MadeMeanwhile:
    """What `Making` is, for products that other processes make."""

    def __init__(self, rasters: Maker, polygons: Maker) -> None:
        self._rasters, self._polygons = rasters, polygons

    def all_strips_are_there(self) -> None:
        """From now on one that is missing is an error."""
        for each in (self._rasters, self._polygons):
            each.say(Word.COMPLETE)

    def finish_rasters(
        self, products: Sequence[Product], progress: Callable[[int], None], finished: Callable[[Product], None]
    ) -> None:
        """Have all of them written and compared, as `Begun.finish` says."""
        self._rasters.await_done(progress, lambda number: finished(products[number]))

    def finish_polygons(self, progress: Callable[[int], None]) -> PolygonCounts:
        """Have them written, as `polygons_of` says; `progress` is told of pixels done, those done before included."""
        counts: PolygonCounts = self._polygons.await_done(progress)
        return counts

    def abandon(self) -> None:
        """End the processes, and wait for them."""
        for each in (self._rasters, self._polygons):
            each.say(Word.ABANDON)
        for each in (self._rasters, self._polygons):
            each.end()


class Maker:
    """A process that makes a part of the products."""

    def __init__(self, part: Part, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._part, self._process, self._connection = part, process, connection

    def say(self, word: Word) -> None:
        """Tell it."""
        with suppress(OSError):  # it has ended, as its next news would tell
            self._connection.send(word)

    def await_done(self, progress: Callable[[int], None], finished: Callable[[int], None] | None = None) -> Any:
        """Pass on what it tells until it is done. Raises what it failed with, `ComputeError` where it was ended."""
        while True:
            try:
                news, what = self._connection.recv()
            except (EOFError, ConnectionError) as error:
                raise ComputeError(
                    f"the process that makes {self._part.value} was ended (exit code {self._process.wait()}), mostly "
                    "for want of memory: end what else takes it, and give the same command again"
                ) from error
            if news == News.ERROR:
                raise what
            if news == News.DONE:
                return what
            if news == News.PIXELS:
                progress(what)
            elif finished is not None:
                finished(what)

    def end(self) -> None:
        """Wait for its end, and see to it if need be."""
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def _making(wanted: Wanted, part: Part) -> Iterator[Maker]:
    here, there = Pipe()
    with here:
        with there:
            process = subprocess.Popen(
                [sys.executable, "-c", f"from geofcs.meanwhile import serve; serve({there.fileno()})"],
                pass_fds=[there.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # an interrupt of the terminal is for this process to answer
            )
        here.send((wanted, part))
        yield Maker(part, process, here)


def serve(descriptor: int) -> None:
    """The process: make what it is told to, and tell how it gets on."""
    sys.setswitchinterval(SECONDS_OF_A_TURN)
    os.nice(NICENESS)
    connection = Connection(descriptor)
    wanted, part = connection.recv()
    tell = _Telling(connection)
    with Making(wanted) as making:
        if connection.poll():  # the run may be gone since it began this process, and another be writing there
            _hear(connection, making)
        threading.Thread(target=_listen, args=(connection, making), daemon=True).start()
        try:
            if part == Part.RASTERS:
                _rasters(making, wanted, tell)
            else:
                _polygons(making, tell)
        except GeofcsError as error:
            tell(News.ERROR, error)


def _rasters(making: Making, wanted: Wanted, tell: _Telling) -> None:
    making.begin_rasters(wanted.products)
    making.await_all_strips()
    making.finish_rasters(
        wanted.products,
        lambda pixels: tell(News.PIXELS, pixels),
        lambda product: tell(News.FINISHED, wanted.products.index(product)),
    )
    tell(News.DONE, None)


def _polygons(making: Making, tell: _Telling) -> None:
    making.begin_polygons()
    making.await_all_strips()
    tell(News.DONE, making.finish_polygons(lambda pixels: tell(News.PIXELS, pixels)))


def _listen(connection: Connection, making: Making) -> None:
    while _hear(connection, making) != Word.ABANDON:
        pass


def _hear(connection: Connection, making: Making) -> Word:
    """Pass on what the run says. Where it ended without a word, another may have taken its place: leave at once."""
    try:
        word: Word = connection.recv()
    except (EOFError, OSError):
        os._exit(ComputeError.exit_code)
    if word == Word.ABANDON:
        making.give_up()
    else:
        making.all_strips_are_there()
    return word


class _Telling:
    """Sends from many threads, to whoever still listens."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._one_at_a_time = connection, threading.Lock()

    def __call__(self, news: News, what: Any) -> None:
        with self._one_at_a_time, suppress(OSError):
            self._connection.send((news, what))
