"""Workers that die: others take their blocks, and who has killed too many is told from who was unlucky."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from geofcs.blocks import BlockCounts, run_block
from geofcs.errors import OutputError
from geofcs.listener import never
from geofcs.schedule.dask_workers import begun_once
from geofcs.schedule.doings import Doings
from geofcs.schedule.rounds import MOST_DEATHS, Team
from geofcs.schedule.task import Work
from geofcs.schedule.workers import Task, WorkerDiedError
from geofcs.tiles import Block
from tests.schedule.scorers import PoisonSource
from tests.schedule.test_here import PROCESSES, run_here
from tests.stubs import Nobody, Silent
from tests.test_blocks import mosaic, run, stub_job


def test_a_block_that_a_dead_worker_had_begun_is_not_begun_by_another(tmp_path: Path) -> None:
    mark = tmp_path / "block.begun"
    with begun_once(mark):
        assert mark.exists()
        with pytest.raises(WorkerDiedError), begun_once(mark):
            pass
        assert mark.exists(), "for the next one, if this one died as well"
    assert not mark.exists()
    with pytest.raises(ZeroDivisionError), begun_once(mark):
        _ = 1 / 0
    assert not mark.exists(), "a block that fails is alive"
    with pytest.raises(OutputError, match="nowhere"), begun_once(tmp_path / "nowhere" / "block.begun"):
        pass


class Mortal(Nobody):
    """A worker that dies after so many strips."""

    def __init__(self, strips: int) -> None:
        self._strips = strips

    def strip_done(self) -> None:
        self._strips -= 1
        if self._strips == 0:
            raise WorkerDiedError


@dataclass(frozen=True, eq=False)
class Fate:
    """How a block ended."""

    end: BlockCounts | WorkerDiedError

    def done(self) -> bool:
        return True

    def counts(self) -> BlockCounts:
        if isinstance(self.end, WorkerDiedError):
            raise self.end
        return self.end


class Mortals:
    """Workers of which each begins one block and dies after so many strips, if that has as many."""

    def __init__(self, strips: int) -> None:
        self._strips = strips
        self.deaths: list[Block] = []

    @contextmanager
    def heard(self, run: str, hear: Callable[[list[int]], None]) -> Iterator[None]:  # noqa: ARG002
        yield

    def begin(self, work: Work, ended: Callable[[Task], None]) -> Task:
        try:
            fate = Fate(run_block(work.job, work.block, Mortal(self._strips)))
        except WorkerDiedError as died:
            self.deaths.append(work.block)
            fate = Fate(died)
        ended(fate)
        return fate

    def stop(self, run: str, seconds: float) -> None:
        pass

    def forget(self, run: str, tasks: Sequence[Task]) -> None:
        pass

    def doings(self) -> list[Doings]:
        return []


def test_a_block_whose_workers_die_further_down_each_time_is_unlucky_and_not_given_up(tmp_path: Path) -> None:
    """As on machines that are taken away every few minutes."""
    job, workers = stub_job(tmp_path / "strips"), Mortals(1)
    blocks = job.lattice.blocks(1)
    done = Team(workers).run(job, blocks, Silent(), never)
    assert len(workers.deaths) == job.lattice.rows.count > MOST_DEATHS
    assert done.lost == []
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()


@pytest.mark.long
def test_what_lost_workers_had_under_way_is_computed_by_others(tmp_path: Path) -> None:
    (tmp_path / "deaths").mkdir()
    job = replace(stub_job(tmp_path / "strips"), scorer=PoisonSource(400, tmp_path / "deaths", 2))
    blocks = [Block(first, first + 2, 0, job.lattice.cols.count) for first in (0, 2, 4)]
    done = run_here(PROCESSES, job, blocks)
    assert len(list((tmp_path / "deaths").iterdir())) == 2
    assert done.lost == []
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()
