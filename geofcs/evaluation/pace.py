"""How fast a model is in the run at hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Pairs a second in the model: from images in memory to maps. Reading and counting are not in it.

    The first batch, in which a model chooses its algorithms and takes its memory, is left out.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._pairs = 0
        self._seconds = 0.0

    @contextmanager
    def of(self, pairs: int) -> Iterator[None]:
        """Time a batch of so many pairs."""
        began = time.perf_counter()
        yield
        self._batches += 1
        if self._batches > 1:
            self._pairs += pairs
            self._seconds += time.perf_counter() - began

    @property
    def pairs_per_second(self) -> float | None:
        """None where there was one batch only."""
        return self._pairs / self._seconds if self._seconds else None
