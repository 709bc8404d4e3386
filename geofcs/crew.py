"""Who does the work: how many threads, processes or GPUs of this machine, or how many workers of a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from geofcs.errors import InputError

MOST_THREADS = 4
"""Threads of one process at most; more workers are processes.

Threads start at once and share one model, but Python runs one at a time: a tile of 512 pixels through `pico` holds it
for 4.5 % of its time (the core time of a tile of 32 pixels, which is all dispatch, over that of one of 512), so four
threads hardly wait for each other. A process takes seconds to import torch, and `PROCESS_BYTES`.
"""

BLOCKS_PER_GPU = 4
"""Blocks in flight on a GPU process: while the GPU works on one's batch, those of others are put together and blended,
and their strips encoded. For these a block takes about twice as long as an H100 takes for its tiles."""

MEMORY_SHARE = 0.8
"""Share of the free memory that tiles may take."""

PROCESS_BYTES = 700 * 2**20
"""What a process takes beside its tiles: torch, the model, GDAL's cache of at most 256 MiB."""

KINDS = ("auto", "threads", "processes")


@dataclass(frozen=True)
class Crew:
    """The workers of a run.

    `kind` is "threads" (of this process), "processes" (of this machine) or "cluster"; each of `processes` has `slots`
    blocks in flight. `threads` are those of one model call. `gpus` are names as in CUDA_VISIBLE_DEVICES, one per
    process; empty where nobody is given one.
    """

    kind: str
    processes: int
    slots: int
    threads: int
    gpus: tuple[str, ...] = ()

    @property
    def in_flight(self) -> int:
        """Blocks computed at once."""
        return self.processes * self.slots

    @property
    def sentence(self) -> str:
        """Who works, for people."""
        if self.kind == "threads":
            return f"{self.slots} worker(s) of {self.threads} thread(s)"
        shared = f" on GPU {', '.join(sorted(set(self.gpus)))}" if self.gpus else ""
        where = "of the cluster" if self.kind == "cluster" else "of this machine"
        return f"{self.processes} process(es) {where}{shared}, {self.slots} block(s) each, of {self.threads} thread(s)"


@dataclass(frozen=True)
class Need:
    """What decides a local crew: CPU threads per model call, bytes that a block in flight takes, the tile it is for."""

    threads: int
    bytes_per_block: int
    tile: int
    isolate: bool = False
    """Whether a block that kills its process must not kill the run."""


def local_crew(wanted: int | None, kind: str, need: Need) -> Crew:
    """A crew of CPU workers: as many as asked for, or as cores and memory allow.

    Raises `InputError` when not even the tiles of the workers asked for (one, by default) fit into memory.
    """
    most = (os.cpu_count() or 1) // need.threads
    processes = kind == "processes" or (kind == "auto" and ((wanted or most) > MOST_THREADS or need.isolate))
    each = need.bytes_per_block + (PROCESS_BYTES if processes else 0)
    free = int(MEMORY_SHARE * psutil.virtual_memory().available)
    if free // each < (wanted or 1):
        raise InputError(
            f"--tile {need.tile}: {wanted or 1} worker(s) need about {_gib(each * (wanted or 1))} of memory, "
            f"{_gib(free)} can be used: use a smaller --tile, --batch or fewer --workers"
        )
    count = wanted or max(1, min(free // each, most))
    return Crew("processes", count, 1, need.threads) if processes else Crew("threads", 1, count, need.threads)


def gpu_crew(gpus: tuple[str, ...], here: str, wanted: int | None, kind: str, need: Need) -> Crew:
    """A crew on the GPUs of this machine: one process each, or as many as asked for, dealt out evenly.

    One worker for the only GPU is this process itself, if that is `here`, the one on which it computes. Raises
    `InputError` where threads are asked for, but the work is for processes.
    """
    count = wanted or len(gpus)
    if kind == "threads" and (count > 1 or gpus[0] != here):
        which = f"{count} workers on GPUs" if count > 1 else f"workers on GPU {gpus[0]}"
        raise InputError(f"--worker-kind threads: {which} are processes: leave it out")
    if kind == "processes" or count > 1 or need.isolate or gpus != (here,):
        dealt = tuple(gpus[number % len(gpus)] for number in range(count))
        return Crew("processes", count, BLOCKS_PER_GPU, need.threads, dealt)
    return Crew("threads", 1, BLOCKS_PER_GPU, need.threads)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
