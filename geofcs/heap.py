"""Memory that was freed and is still held, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give back whatever pages of the heap are free, in every thread's part of it; takes milliseconds.

    glibc keeps what is freed for the next allocation of the same thread. Blocks come with threads of their own, and
    each generation of them would leave its share behind.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other allocators have none, and need none
        if trim is not None:
            trim(0)
