"""Medians of repeated calls, on a GPU by its own clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Call = Callable[[], object]
Note = Callable[[str], None]
"""Told what is being measured."""

WARM_UPS = 2
"""Calls before a recording: libraries choose their algorithms in them."""


@dataclass(frozen=True)
class Clock:
    """Times calls on a device ("cpu" or "cuda"), each so many times."""

    device: str
    repeats: int

    def median(self, same: Sequence[Call]) -> float:
        """Median seconds of calls that do the same with different memory, so that none finds its own in a cache."""
        return self.medians({"": same})[""]

    def medians(self, calls: Mapping[str, Sequence[Call]]) -> dict[str, float]:
        """Median seconds per entry, after a first call of each; entries take turns.

        Whatever else the machine does then meets all alike, and their ratios hold where their times do not.
        """
        for same in calls.values():
            for call in same:
                call()
        times: dict[str, list[float]] = {name: [] for name in calls}
        for i in range(self.repeats):
            for name, same in calls.items():
                times[name].append(ONCE[self.device](same[i % len(same)]))
        return {name: statistics.median(each) for name, each in times.items()}


def _once_on_cpu(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _once_on_gpu(call: Call) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


ONCE = {"cpu": _once_on_cpu, "cuda": _once_on_gpu}


def without_gaps(call: Call, device: str) -> Call:
    """The call without Python's gaps between launches: on a GPU it is recorded as a graph and replayed."""
    if device == "cpu":
        return call
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
