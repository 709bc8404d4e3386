"""The site of a run: its model is loaded while the crew is started, where they share a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from geofcs.crew import Crew
from geofcs.errors import InputError
from geofcs.listener import never
from geofcs.schedule.site import ThisMachine
from tests.stubs import Silent, StubScorer, StubScorerSource
from tests.test_blocks import stub_job

SECONDS = 20.0


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class WatchedSource(StubScorerSource):
    """Tells that it is loaded, notes with how many threads, and then waits until it may be."""

    begun: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)
    threads: list[int] = field(default_factory=list, hash=False)

    def load(self) -> StubScorer:
        self.threads.append(torch.get_num_threads())
        self.begun.set()
        self.may_end.wait(SECONDS)
        return super().load()


def test_a_model_is_under_way_before_there_is_a_block_with_the_threads_that_blocks_take() -> None:
    source = WatchedSource(400)
    with ThisMachine().team(Crew("threads", 1, 1, 3), source):  # type: ignore[arg-type]
        assert source.begun.wait(SECONDS)
    source.may_end.set()
    assert source.threads == [3]


def test_a_model_that_does_not_load_keeps_nobody_from_ending() -> None:
    source, ended = WatchedSource(400), threading.Event()

    def come_and_go() -> None:
        with ThisMachine().team(Crew("threads", 1, 1, 1), source):  # type: ignore[arg-type]
            pass
        ended.set()

    threading.Thread(target=come_and_go, daemon=True).start()
    assert ended.wait(SECONDS / 2)
    assert source.begun.is_set()
    source.may_end.set()


def test_processes_load_their_models_themselves() -> None:
    source = WatchedSource(400)
    with ThisMachine().team(Crew("processes", 1, 1, 1), source):  # type: ignore[arg-type]
        pass
    assert not source.begun.is_set()


@dataclass(frozen=True)
class BrokenSource(StubScorerSource):
    def load(self) -> StubScorer:
        raise InputError("w.safetensors: is damaged")


def test_a_model_that_cannot_be_loaded_is_told_by_the_block_that_needs_it(tmp_path: Path) -> None:
    source = BrokenSource(400)
    job = replace(stub_job(tmp_path / "strips", 64, 64), scorer=source)
    with (
        ThisMachine().team(Crew("threads", 1, 1, 1), source) as team,  # type: ignore[arg-type]
        pytest.raises(InputError, match="is damaged"),
    ):
        team.run(job, job.lattice.blocks(1), Silent(), never)
