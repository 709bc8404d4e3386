"""The process that makes a part of a run's products, as `geofcs.meanwhile` tells it to."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from geofcs.errors import ComputeError, GeofcsError
from geofcs.making import Making
from geofcs.meanwhile import Made, News, Part, Word
from geofcs.wanted import Wanted

NICENESS = 5
"""By how much the processes stand back: what feeds a GPU goes before."""

SECONDS_OF_A_TURN = 0.0005
"""For which one thread keeps the interpreter while others want it: they compress and sum up mostly, without it, and
Python's own five milliseconds are longer than most of what they then do with it."""


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
                _polygons(making, wanted, tell)
        except GeofcsError as error:
            tell(News.ERROR, error)
    os._exit(0)  # all is closed; the run waits, and Python would take a tenth of a second to forget its modules


def _rasters(making: Making, wanted: Wanted, tell: _Telling) -> None:
    making.begin_rasters(wanted.products, wanted.threads)
    making.await_all_strips()
    making.finish_rasters(
        lambda pixels: tell(News.PIXELS, pixels),
        lambda described: tell(News.FINISHED, described),
    )
    tell(News.DONE, None)


def _polygons(making: Making, wanted: Wanted, tell: _Telling) -> None:
    making.begin_polygons(wanted.threads)
    making.await_all_strips()
    counts = making.finish_polygons(lambda pixels: tell(News.PIXELS, pixels))
    tell(News.DONE, Made(counts, making.versions()))


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
