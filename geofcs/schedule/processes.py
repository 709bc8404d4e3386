"""Worker processes of this machine, each with its GPU if there are any."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster

from geofcs.crew import Crew
from geofcs.schedule.dask_workers import DaskWorkers
from geofcs.schedule.rounds import Team

LOOPBACK = "127.0.0.1:0"
"""Where Dask's pages are served: it insists on serving them, by default to every host that can reach this one."""

SETTINGS = {
    # GDAL, CUDA and OpenMP do not survive a fork.
    "distributed.worker.multiprocessing-method": "spawn",
    # No block waits at a worker for another to end: when the worker dies it would be blamed as well.
    "distributed.scheduler.worker-saturation": 1.0,
}

TIMEOUT = "120 s"
"""For processes to come up: a busy machine takes long to import torch in many of them."""


@contextmanager
def process_team(crew: Crew) -> Iterator[Team]:
    """The processes of a crew, started; ended with the context."""
    with dask.config.set(SETTINGS), _cluster(crew) as cluster, Client(cluster) as client:
        yield Team(DaskWorkers(client))


def _cluster(crew: Crew) -> SpecCluster:
    # A death is told at once, not when the next worker finds the mark of the one that died.
    scheduler = {"host": "127.0.0.1", "port": 0, "dashboard_address": LOOPBACK, "allowed_failures": 0}
    return SpecCluster(
        workers={number: {"cls": Nanny, "options": _worker(crew, number)} for number in range(crew.processes)},
        scheduler={"cls": Scheduler, "options": scheduler},
        silence_logs=logging.CRITICAL,
        name="geofcs",
    )


def _worker(crew: Crew, number: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "nthreads": crew.slots,
        "memory_limit": 0,
        "dashboard_address": LOOPBACK,
        "preload": ["geofcs.schedule.preload"],
        "silence_logs": logging.CRITICAL,
        "env": environment(crew, number),
    }


def environment(crew: Crew, number: int) -> dict[str, str]:
    """What a worker process finds set before it loads anything: as many threads as its share, and one GPU.

    Model calls say themselves how many threads they take (it is part of the plan); this bounds all else.
    """
    threads = str(crew.threads)
    gpu = {"CUDA_VISIBLE_DEVICES": crew.gpus[number]} if crew.gpus else {}
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "GDAL_NUM_THREADS": "1",
        **gpu,
    }
