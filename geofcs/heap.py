"""Memory that was freed: kept for the next tile, given back to the system after a block."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's parameters, from its malloc.h."""

LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""To which glibc raises it by itself on 64 bits, and the other to twice that (mallopt(3))."""


def keep_freed() -> None:
    """Have glibc keep what tiles free for the next ones, as it learns to by itself.

    It does not where MALLOC_TRIM_THRESHOLD_ is set, as Dask does for all its workers: then whatever is larger than 128
    KiB comes from the system each time, page by page, which nearly doubled the core time of a run with `pico`.
    """
    if sys.platform == "linux":
        set_parameter = getattr(ctypes.CDLL(None), "mallopt", None)
        if set_parameter is not None:
            set_parameter(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
            set_parameter(M_TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)


def give_back() -> None:
    """Give back whatever pages of the heap are free, in every thread's part of it; takes milliseconds.

    glibc keeps what is freed for the next allocation of the same thread. Blocks come with threads of their own, and
    each generation of them would leave its share behind.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other allocators have none, and need none
        if trim is not None:
            trim(0)
