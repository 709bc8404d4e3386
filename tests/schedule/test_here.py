"""Blocks on this machine, by threads and as Dask tasks: all are run, the same bytes come out, failures are told."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from rasterio.env import getenv
from torch import Tensor

from geofcs.blocks import BlockCounts, BlockJob
from geofcs.crew import BLOCKS_PER_GPU, Crew
from geofcs.errors import ComputeError, SourceError, StoppedError
from geofcs.grid import Grid
from geofcs.model.interface import Scores
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.scene.pair import PairReader
from geofcs.schedule.outcome import Outcome
from geofcs.schedule.site import local_team
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.tiles import Block
from tests.schedule.scorers import SlowSource, WitnessSource
from tests.stubs import Silent, StubPair, StubReader, StubScorer, StubScorerSource
from tests.test_blocks import mosaic, run, stub_job


def never() -> bool:
    return False


def threads(count: int) -> Crew:
    return Crew("threads", 1, count, 1)


PROCESSES = Crew("processes", 2, 1, 1)


def run_here(crew: Crew, job: BlockJob, blocks: list[Block], listener: Silent | None = None) -> Outcome:
    with local_team(crew) as team:
        return team.run(job, blocks, listener or Silent(), never)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_threads_writes_the_same_pixels(tmp_path: Path, count: int) -> None:
    job, crew = stub_job(tmp_path / "dask"), threads(count)
    blocks = job.lattice.blocks(crew.in_flight, 3)
    listener = Silent()
    counts = BlockCounts.total(run_here(crew, job, blocks, listener).counts)
    assert listener.done == sum(map(job.lattice.tiles_to_compute, blocks))
    assert counts.tiles_scored + counts.tiles_empty == listener.done
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()


def listening() -> set[tuple[str, int]]:
    """Hosts and ports, of this process and its children; servers of other tests may be among them."""
    me = psutil.Process()
    connections = [each for process in (me, *me.children(recursive=True)) for each in process.net_connections()]
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize(("crew", "hosts"), [(threads(2), set()), (PROCESSES, {"127.0.0.1"})], ids=["threads", "dask"])
def test_nothing_listens_beyond_this_machine(crew: Crew, hosts: set[str]) -> None:
    before = listening()
    with local_team(crew):
        assert {host for host, _port in listening() - before} == hosts


@dataclass(frozen=True)
class FlakyPair(StubPair):
    """A scene that cannot be opened the first so many times; each of them leaves a file in `folder`."""

    folder: Path = Path()
    failures: int = 0

    def open(self) -> StubReader:
        if len(list(self.folder.iterdir())) < self.failures:
            (self.folder / uuid.uuid4().hex).touch()
            raise SourceError("/scenes/t1.tif: its server did not answer")
        return super().open()


@pytest.mark.parametrize("failures", [2, 3])
def test_a_block_whose_scene_cannot_be_read_is_tried_three_times(tmp_path: Path, failures: int) -> None:
    (tmp_path / "tries").mkdir()
    pair = FlakyPair(300, 400, hole=100, folder=tmp_path / "tries", failures=failures)
    job = replace(stub_job(tmp_path / "strips"), pair=pair)
    blocks = job.lattice.blocks(1)
    if failures == 3:
        with pytest.raises(SourceError, match="did not answer"):
            run_here(threads(1), job, blocks)
        return
    assert run_here(threads(1), job, blocks).lost == []
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()


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
    with pytest.raises(ComputeError, match=r"out of memory.*smaller --tile"):
        run_here(threads(2), job, list(reversed(blocks)))
    assert FailingScorer.failed.is_set()
    assert FailingScorer.calls_after_failure < job.lattice.count / 2


def test_a_run_that_is_stopped_finishes_the_strips_under_way_and_no_more(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", tile=32, overlap=4), scorer=SlowSource(400, 0.01))
    blocks = job.lattice.blocks(2, 32)
    listener = Silent()
    began = time.monotonic()
    with pytest.raises(StoppedError), local_team(threads(2)) as team:
        team.run(job, blocks, listener, lambda: listener.done > 5)
    written = sorted(path.name for path in job.strips.iterdir())
    assert time.monotonic() - began < 5
    assert 1 <= len(written) <= 4
    assert all(name.endswith(".tif") for name in written)


def test_a_strip_that_takes_too_long_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofcs.schedule.rounds.SECONDS_FOR_STRIPS", 0.3)
    job = replace(stub_job(tmp_path / "strips"), scorer=SlowSource(400, 0.2))
    began = time.monotonic()
    with pytest.raises(StoppedError), local_team(threads(1)) as team:
        team.run(job, job.lattice.blocks(1), Silent(), lambda: time.monotonic() > began + 1)
    assert time.monotonic() - began < 4
    assert not list(job.strips.iterdir())


@dataclass(frozen=True)
class WatchedPair:
    """Scenes whose readers leave GDAL's number of threads in `found`."""

    pair: ScenePair
    found: list[str]

    @property
    def grid(self) -> Grid:
        return self.pair.grid

    @contextmanager
    def open(self) -> Iterator[PairReader]:
        with self.pair.open() as reader:
            self.found.append(getenv()["GDAL_NUM_THREADS"])
            yield reader


@pytest.mark.parametrize("count", [1, 2])
def test_each_thread_has_its_share_of_threads_of_libraries(tmp_path: Path, count: int) -> None:
    """Whatever the process has: torch, OpenMP and MKL ask the thread that calls them, GDAL as well."""
    write_scenes(tmp_path, SceneParameters(seed=3), Extent(300, 64))
    pair = WatchedPair(plan_pair(str(tmp_path / "t1.tif"), str(tmp_path / "t2.tif"), SceneOptions()), [])
    (tmp_path / "found").mkdir()
    witness = WitnessSource(400, tmp_path / "found")
    job = replace(stub_job(tmp_path / "strips", 300, 64), pair=pair, scorer=witness, threads=count)
    blocks = job.lattice.blocks(2)
    run_here(threads(2), job, blocks)
    assert {count for each in witness.found for count in each["threads"].values()} == {count}
    assert len({each["thread"] for each in witness.found}) == 2
    assert pair.found == ["1"] * len(blocks)


def test_each_process_has_its_gpu_and_its_share_of_threads(tmp_path: Path) -> None:
    """Devices that do not exist: what is tested is who would get which."""
    (tmp_path / "found").mkdir()
    witness = WitnessSource(400, tmp_path / "found")
    job = replace(stub_job(tmp_path / "strips"), threads=2, scorer=witness)
    crew = Crew("processes", 2, BLOCKS_PER_GPU, 2, ("GPU-a", "GPU-b"))
    blocks = job.lattice.blocks(crew.in_flight, 2)
    done = run_here(crew, job, blocks)
    assert sorted({each["process"]: each["gpu"] for each in witness.found}.values()) == ["GPU-a", "GPU-b"]
    for each in witness.found:
        assert set(each["threads"].values()) == {2}
        assert each["from_the_system"] < 0.5, "Dask's setting has each tile's memory fetched anew"
        assert each["environment"] == {
            "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "GDAL_NUM_THREADS": "1"
        }  # fmt: skip
    assert len(done.counts) == len(blocks)
    assert np.array_equal(mosaic(job, blocks), run(stub_job(tmp_path / "plain"), 1, 32))
