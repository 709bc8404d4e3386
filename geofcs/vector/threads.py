"""A map that runs in several threads, keeps the order, and never has more under way than it needs to keep them busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Map(Protocol):
    """As the built-in `map` with one iterable, which does everything in the calling thread."""

    def __call__(self, function: Callable[[Item], Result], items: Iterable[Item], /) -> Iterator[Result]:
        """The function of each item, in their order."""
        ...


@contextmanager
def ordered_map(threads: int) -> Iterator[Map]:
    """A `Map` over `threads` threads, as many items waiting besides; several may be under way, one fed by another.

    Threads, since most of the time NumPy and GEOS do not hold the interpreter's lock. Items are taken in the calling
    thread. What fails is raised in its place. In the end whatever is under way is waited for, the rest is dropped.
    """
    with ThreadPoolExecutor(threads, "geofcs-polygons") as pool:

        def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
            pending: deque[Future[Result]] = deque()
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) == 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

        try:
            yield in_order
        finally:
            pool.shutdown(cancel_futures=True)
