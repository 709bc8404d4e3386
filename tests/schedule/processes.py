"""A Dask cluster of separate processes on loopback, started as the documentation says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DASK = (sys.executable, "-W", "ignore", "-m", "dask")


@dataclass
class ProcessCluster:
    """A scheduler, and the workers started for it."""

    folder: Path
    environment: dict[str, str]
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    def start_worker(self, *options: str, preload: Path | None = None) -> subprocess.Popen[bytes]:
        command = [
            *(*DASK, "worker", "--scheduler-file", str(self.file), "--host", "127.0.0.1", "--nthreads", "1"),
            *("--no-dashboard", "--local-directory", str(self.folder), "--memory-limit", "0", *options),
        ]
        if preload:
            command += ["--preload", str(preload)]
        self.workers.append(started(command, self.environment, self.folder / f"worker{len(self.workers)}.log"))
        return self.workers[-1]


def started(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


@contextmanager
def process_cluster(folder: Path, **environment: str) -> Iterator[ProcessCluster]:
    """A scheduler without workers; all is ended with the context."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    env.update(environment)
    command = [*DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command += ["--scheduler-file", str(folder / "scheduler.json")]
    cluster = ProcessCluster(folder, env, started(command, env, folder / "scheduler.log"))
    try:
        wait_until(cluster.file.exists)
        yield cluster
    finally:
        for process in [*cluster.workers, cluster.scheduler]:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its children, and wait for it."""
    if process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        for each in [*children, process]:
            each.kill()
    process.wait()


def when(condition: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Does something once a condition holds, in a thread of its own."""

    def act() -> None:
        wait_until(condition)
        then()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)
