"""Interrupts and terminations: the first may let work finish, the second ends at once, whatever is going on."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from geofcs.cli.terminal import stderr

SIGNAL_EXIT_CODE = 128
"""Added to a signal's number: 130 for an interrupt, 143 for a termination."""

SECONDS_TO_FINISH = 10.0
"""How long what is under way may take after a first signal."""


class Signals:
    """What the process has been asked to do.

    A thread of its own takes the signals: Python would hand them to the main thread, which may be deep in GDAL for
    minutes.
    """

    def __init__(self) -> None:
        self.received = 0
        self._finishing = False
        self._seconds: float | None = None

    def listen(self) -> None:
        """From now on an interrupt or a termination ends the process; called once, by the main thread."""
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _ignored)
        threading.Thread(target=self._take, args=(receiver, sender), name="geofcs-signals", daemon=True).start()

    @contextmanager
    def may_finish(self, seconds: float | None = None) -> Iterator[Signals]:
        """Inside, the first signal only sets `received`; the process ends `seconds` later if it has not by then."""
        self._finishing, self._seconds = True, seconds
        try:
            yield self
        finally:
            self._finishing = False

    def wanted(self) -> bool:
        """Whether there was a signal."""
        return self.received > 0

    def leave(self, sentence: str) -> NoReturn:
        """End with the signal's exit code; all is closed, and the interpreter's own farewell would take seconds."""
        _say(sentence)
        sys.stdout.flush()
        os._exit(self.exit_code)

    @property
    def exit_code(self) -> int:
        """By the signal received."""
        return SIGNAL_EXIT_CODE + self.received

    def _take(self, receiver: socket.socket, _sender_is_kept_open: socket.socket) -> None:
        for number in iter(lambda: receiver.recv(1)[0], None):
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            if self.received or not self._finishing:
                leave_at_once(number)
            self.received = number
            if self._seconds is not None:
                timer = threading.Timer(self._seconds, leave_at_once, [number])
                timer.daemon = True
                timer.start()
                _say(f"finishing what is under way, {self._seconds:.0f} s at most; once more ends at once")


signals = Signals()
"""Those of this process."""


def leave_by_force_after(seconds: float, exit_code: int) -> None:
    """End the process in so many seconds if it has not ended by itself until then."""
    timer = threading.Timer(seconds, os._exit, [exit_code])
    timer.daemon = True
    timer.start()


def leave_at_once(number: int) -> None:
    """End without waiting for anything: whatever is not yet under its final name is redone from the journal."""
    stderr.show_cursor()
    _say("interrupted; give the same command again to go on")
    sys.stdout.flush()
    os._exit(SIGNAL_EXIT_CODE + number)


def _say(sentence: str) -> None:
    stderr.print(f"geofcs: {sentence}", markup=False, highlight=False)


def _ignored(_number: int, _frame: FrameType | None) -> None:
    """In the main thread; there must be a handler for the wakeup descriptor to be written to."""
