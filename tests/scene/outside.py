"""Files that no input has a right to, and whether anybody opens them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_OPEN = 0x20
"""Of inotify(7)."""


@contextmanager
def nobody_opens(*paths: Path) -> Iterator[None]:
    """An error if anything in this process opens one of these files meanwhile, Python or not."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        for path in paths:
            assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN) > 0, os.strerror(ctypes.get_errno())
        yield
        try:
            opened = len(os.read(watch, 4096))
        except BlockingIOError:
            opened = 0
        assert not opened, f"one of {', '.join(map(str, paths))} was opened"
    finally:
        os.close(watch)
