"""Loading libraries, whose hundreds of thousands of objects stay, without ever looking for garbage among them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

BLOCK_THREADS = "geofcs-block"
"""How the names of threads that compute blocks begin: in a call of a library they do not survive Python's end."""


@contextmanager
def loading() -> Iterator[None]:
    """For the imports of a command: without it a fifth of their time goes into looking for garbage."""
    was_looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_looking:
            keep()


def keep() -> None:
    """Never look for garbage among what there is by now, not even at the process's end, but among all else."""
    gc.freeze()
    gc.enable()
