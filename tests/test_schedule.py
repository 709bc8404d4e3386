"""Blocks as Dask tasks: all are run, progress adds up, a failure stops the rest."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
import torch
from torch import Tensor

from geofcs.blocks import BlockCounts
from geofcs.errors import ComputeError
from geofcs.model.interface import Scores
from geofcs.schedule import run_blocks
from tests.stubs import StubScorer, StubScorerSource
from tests.test_blocks import mosaic, run, stub_job


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_writes_the_same_pixels(tmp_path: Path, workers: int) -> None:
    job = stub_job(tmp_path / "dask")
    blocks = job.lattice.blocks(workers, 3)
    told: list[int] = []
    counts = BlockCounts.total(run_blocks(job, blocks, workers, told.append))
    assert sum(told) == sum(map(job.lattice.tiles_to_compute, blocks))
    assert counts.tiles_scored + counts.tiles_empty == sum(told)
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()


class ListeningScorer(StubScorer):
    """Notes which addresses this process listens on."""

    hosts: ClassVar[set[str]] = set()

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        connections = psutil.Process().net_connections()
        ListeningScorer.hosts |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
        return super().__call__(t1, t2)


@dataclass(frozen=True)
class ListeningScorerSource(StubScorerSource):
    def load(self) -> ListeningScorer:
        return ListeningScorer(self.divisor)


def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", 64, 64), scorer=ListeningScorerSource(400))
    run_blocks(job, job.lattice.blocks(1), 1, lambda _tiles: None)
    assert ListeningScorer.hosts == {"127.0.0.1"}


class FailingScorer(StubScorer):
    """Fails at the scene's last row; is slow elsewhere."""

    calls_after_failure = 0
    failed = threading.Event()

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        if (t1[:, 0] == 299).any():
            FailingScorer.failed.set()
            raise torch.OutOfMemoryError
        if FailingScorer.failed.is_set():
            FailingScorer.calls_after_failure += 1
        time.sleep(0.02)
        return super().__call__(t1, t2)


@dataclass(frozen=True)
class FailingScorerSource(StubScorerSource):
    def load(self) -> FailingScorer:
        return FailingScorer(self.divisor)


def test_the_error_of_a_block_comes_out_and_stops_the_others(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", tile=32, overlap=4), scorer=FailingScorerSource(400))
    blocks = job.lattice.blocks(4, 32)
    with pytest.raises(ComputeError, match=r"out of memory.*--batch or --tile"):
        run_blocks(job, list(reversed(blocks)), 2, lambda _tiles: None)
    assert FailingScorer.failed.is_set()
    assert FailingScorer.calls_after_failure < job.lattice.count / 2
