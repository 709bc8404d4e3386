"""Processes of their own that make a run's products while others compute its tiles: one rasters, one polygons.

In the run's own process their threads would keep those that feed a GPU waiting for the interpreter: tiles took twice as
long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple

from geofcs.errors import ComputeError
from geofcs.product import Product
from geofcs.records import Described
from geofcs.vector.counts import PolygonCounts
from geofcs.wanted import Wanted

SECONDS_TO_END = 10.0
"""How long a process that was told to end may take to clear what it had begun."""


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
    FINISHED = "a product's files"
    DONE = "a `Made` of polygons, None of rasters"
    ERROR = "the `GeofcsError` that it ends with"


class Made(NamedTuple):
    """What the process that makes polygons has to tell of them: how many there are, and what software made them."""

    polygons: PolygonCounts
    versions: dict[str, str]


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
        self._versions: dict[str, str] = {}

    def begin(self, _products: Sequence[Product]) -> None:
        """All of them have begun."""

    def all_strips_are_there(self) -> None:
        """From now on one that is missing is an error."""
        for each in (self._rasters, self._polygons):
            each.say(Word.COMPLETE)

    def finish_rasters(self, progress: Callable[[int], None], finished: Callable[[Described], None]) -> None:
        """Have all of them written and checked, as `Begun.finish` says."""
        self._rasters.await_done(progress, finished)

    def finish_polygons(self, progress: Callable[[int], None]) -> PolygonCounts:
        """Have them written, as `polygons_of` says; `progress` is told of pixels done, those done before included."""
        made: Made = self._polygons.await_done(progress)
        self._versions = made.versions
        return made.polygons

    def versions(self) -> dict[str, str]:
        """Of what has made them; known when the polygons are finished."""
        return self._versions

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

    def await_done(self, progress: Callable[[int], None], finished: Callable[[Described], None] | None = None) -> Any:
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
                [sys.executable, "-c", f"from geofcs.maker import serve; serve({there.fileno()})"],
                pass_fds=[there.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # an interrupt of the terminal is for this process to answer
            )
        here.send((wanted, part))
        yield Maker(part, process, here)
