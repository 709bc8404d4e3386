"""Deaths between steps: a process that kills itself just before its n-th change to the file system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "open"}
"""Python's audit events of what changes files; GDAL's and SQLite's own writes come in between."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def before_each_change(folder: Path, act: Callable[[int], None]) -> None:
    """Call `act` with 1, 2, 3 ... before every change below `folder`, for the rest of this process."""
    count = 0
    below = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in CHANGES or not isinstance(arguments[0], str | bytes | Path):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        if os.fsdecode(arguments[0]).startswith(below):
            count += 1
            act(count)

    sys.addaudithook(hook)


def die_before_change(folder: Path, number: int) -> None:
    """Kill this process before its n-th change below `folder`."""

    def die(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    before_each_change(folder, die)
