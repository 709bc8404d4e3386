"""Runs a call in a process of its own, which starts for it, and says what that took."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from geofcs import libraries


@dataclass(frozen=True)
class Used:
    """What a fresh process took: seconds from its start to its end, seconds of cores, and the most memory.

    Memory is of one process; where it has others work for it, of the one that needed most.
    """

    seconds: float
    core_seconds: float
    peak_bytes: int


def in_a_fresh_process(call: Callable[..., Any], *arguments: object) -> tuple[Any, Used]:
    """What a call answers, and what the process took; everything must be picklable."""
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=gc.disable) as fresh:  # libraries are loaded as commands load them
        answer, core_seconds, peak_bytes = fresh.submit(_watched, call, *arguments).result()
    return answer, Used(time.perf_counter() - start, core_seconds, peak_bytes)


def _watched(call: Callable[..., Any], *arguments: object) -> tuple[Any, float, int]:
    """What a call answers, the core seconds of this process and its children since its start, and the most memory."""
    libraries.keep()
    answer = call(*arguments)
    times = os.times()
    return answer, times.user + times.system + times.children_user + times.children_system, _peak_bytes()


def _peak_bytes() -> int:
    """The most memory that this process, or any of its children that have ended, has had at once."""
    if os.name == "nt":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not there on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    own, of_children = (resource.getrusage(each).ru_maxrss for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(_own_kibibytes() if sys.platform == "linux" else own, of_children) * unit


def _own_kibibytes() -> int:
    """Of this process on Linux, where getrusage tells no less than what the process that started it had by then."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])
