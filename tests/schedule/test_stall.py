"""Runs in which nothing happens any more: told, ended, with what every thread was doing, and taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from rasterio.windows import Window

from geofcs.crew import Crew
from geofcs.errors import StalledError, StalledSourceError
from geofcs.scene import PairPixels
from geofcs.schedule.site import local_team
from geofcs.schedule.stall import MOST_BETWEEN, STACKS, Patience, Silence
from tests.schedule.scorers import HangingSource, SlowSource
from tests.stubs import Silent, StubPair, StubReader
from tests.test_blocks import mosaic, run, stub_job
from tests.test_detect import Material, command, material, raster_hashes, undisturbed, wait_for

__all__ = ["material", "undisturbed"]

THREADS, PROCESSES = Crew("threads", 1, 2, 1), Crew("processes", 2, 1, 1)
SOON = Patience(ended=1.5)


def never() -> bool:
    return False


def test_a_run_in_which_nothing_happens_says_so(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", 64, 64), scorer=SlowSource(400, 1.5))
    listener = Silent()
    with local_team(THREADS) as team:
        team.run(job, job.lattice.blocks(1), listener, never, Patience(told=0.4))
    assert [note[:29] for note in listener.notes] == ["nothing has been finished for"] * 2


@pytest.mark.parametrize("crew", [THREADS, pytest.param(PROCESSES, marks=pytest.mark.long)], ids=lambda crew: crew.kind)
def test_a_model_that_hangs_ends_the_run_and_the_same_run_goes_on(tmp_path: Path, crew: Crew) -> None:
    (tmp_path / "cure").mkdir()
    job = replace(stub_job(tmp_path / "strips"), scorer=HangingSource(400, tmp_path / "cure"))
    blocks = job.lattice.blocks(2)
    with local_team(crew) as team:
        with pytest.raises(
            StalledError, match=r"for 2 s.* block\(s\) under way are in geofcs\.batches.*stacks\.txt"
        ) as told:
            team.run(job, blocks, Silent(), never, SOON)
        (tmp_path / "cure" / "done").touch()
    assert told.value.exit_code == 6
    stacks = (job.strips / STACKS).read_text()
    assert stacks.count("worker tcp://" if crew is PROCESSES else "worker this process") == crew.processes
    assert "time.sleep(0.1)" in stacks
    assert [path for path in job.strips.iterdir() if path.suffix == ".tif"], "strips that were finished were lost"
    with local_team(THREADS) as team:
        team.run(job, blocks, Silent(), never, SOON)
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()


class HangingReader(StubReader):
    def read(self, window: Window) -> PairPixels:
        HangingPair.cured.wait()
        return super().read(window)


@dataclass(frozen=True)
class HangingPair(StubPair):
    """Lies on a disk that does not answer."""

    cured: ClassVar[threading.Event] = threading.Event()

    def open(self) -> HangingReader:
        return HangingReader(self)


def test_scenes_that_do_not_answer_are_told_from_a_model_that_hangs(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", 64, 64), pair=HangingPair(64, 64))
    with local_team(THREADS) as team:
        with pytest.raises(StalledSourceError, match=r"1 of 1 block\(s\) under way wait for pixels") as told:
            team.run(job, job.lattice.blocks(1), Silent(), never, SOON)
        HangingPair.cured.set()
    assert told.value.exit_code == 4
    assert "HangingPair.cured.wait()" in (job.strips / STACKS).read_text()


def test_a_run_that_is_slow_but_alive_is_not_ended(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips", 64, 300), scorer=SlowSource(400, 0.6))
    with local_team(Crew("threads", 1, 1, 1)) as team:
        assert team.run(job, job.lattice.blocks(1), Silent(), never, Patience(ended=1.5)).lost == []


def test_a_run_that_was_suspended_has_not_been_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by Ctrl-Z, for an hour."""
    now = iter([0.0, 1.0, 3601.0, 3602.0])
    monkeypatch.setattr("geofcs.schedule.stall.time.monotonic", lambda: next(now))
    silence = Silence(Silent(), Patience(ended=900.0))
    for _ in range(3):
        silence.listen(1)
    assert silence.seconds == 1 + MOST_BETWEEN + 1
    assert not silence.is_over_long


HANGING = """
import sys, threading
from geofcs.batches import BatchScorer
from geofcs.cli import main
BatchScorer.__call__ = lambda scorer, tiles: threading.Event().wait()
sys.argv[0] = "geofcs"
main()
"""
"""A command whose model hangs, deaf to everything."""


@pytest.mark.long
def test_the_command_ends_although_its_threads_hang(material: Material, undisturbed: Path, tmp_path: Path) -> None:
    detect = command(material, tmp_path / "out")
    hanging = [sys.executable, "-c", HANGING, *detect[3:], "--stall", "0.05"]
    done = subprocess.run(hanging, capture_output=True, text=True, timeout=120)
    assert done.returncode == 6, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "nothing has been finished for 3 s" in done.stderr
    subprocess.run(detect, check=True)
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)
    assert not list(tmp_path.rglob(STACKS))


@pytest.mark.long
def test_a_worker_process_that_is_frozen_does_not_keep_the_command(
    material: Material, undisturbed: Path, tmp_path: Path
) -> None:
    processes = [*command(material, tmp_path / "out"), "--worker-kind", "processes"]
    process = subprocess.Popen([*processes, "--stall", "0.1"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any((tmp_path / "out.partial").rglob("*.tif")), or_end_of=process, seconds=200)
    workers = [each for each in psutil.Process(process.pid).children() if "spawn_main" in " ".join(each.cmdline())]
    for worker in workers:
        os.kill(worker.pid, signal.SIGSTOP)
    began = time.monotonic()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 6, said
    assert "no worker answers" in said
    assert time.monotonic() - began < 90
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    subprocess.run(processes, check=True)
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)
