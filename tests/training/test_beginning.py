"""A run begins where no other writes, and where there is room for what it is going to write."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from geofcs.errors import LostLockError, OutputError
from geofcs.training.beginning import held
from geofcs.training.checkpoint import Checkpoints
from geofcs.training.optimisers import MOMENTS
from geofcs.training.processes import RANK
from geofcs.training.state import bytes_of, state_bytes, state_tensors
from tests.training.runs import LIGHT, after, job_alone, run, tiny
from tests.training.test_command import begun, resumed, wait_for

Usage = namedtuple("Usage", "total used free")

BRIEF = (
    *LIGHT, "train.iterations=3", "output.save_every=1", "validation.every=9", "worlds.validation_pairs=1",
    "worlds.pairs=2",
)  # fmt: skip


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10 * free, 9 * free, free))


def once_saved(folder: Path, act: Callable[[], None]) -> Callable[[], bool]:
    """Something to do in the middle of a run, once; it is not asked to stop."""
    acts = [act]

    def stop() -> bool:
        if acts and Checkpoints(folder / "state").exist:
            acts.pop()()
        return False

    return stop


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_run_is_refused_while_the_first_goes_on_and_leaves_alone_what_lies_there(tmp_path: Path) -> None:
    folder, said = tmp_path / "run", []

    def begin_another() -> None:
        orphan = folder / "state" / ".state-00000009.safetensors.unfinished"
        orphan.touch()
        before = content(folder / "state")
        for resume in (True, False):
            with pytest.raises(OutputError, match="wait for it to end") as caught:
                run(tiny(*BRIEF), folder, resume=resume)
            said.append(caught.value)
        assert content(folder / "state") == before

    assert run(tiny(*BRIEF), folder, stop=once_saved(folder, begin_another)).iteration == 3
    assert [error.exit_code for error in said] == [5, 5]
    assert all(f"{folder}/state: process {os.getpid()} on " in str(error) for error in said)
    assert sorted(content(folder / "state")) == [
        "last.json", "previous.json", "state-00000002.safetensors", "state-00000003.safetensors",
    ]  # fmt: skip
    assert not (folder / "state.lock").exists()


def test_a_run_whose_lock_another_machine_took_over_saves_nothing_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def take_over() -> None:
        lock = folder / "state.lock"
        lock.unlink()
        lock.write_text('{"pid": 1, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00"}')

    with pytest.raises(LostLockError, match=r"was taken over by another run .* let that one finish$"):
        run(tiny(*BRIEF), folder, stop=once_saved(folder, take_over))
    assert Checkpoints(folder / "state").iteration == 1
    assert (folder / "state.lock").exists()


def test_of_several_processes_of_a_run_only_the_first_takes_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(tmp_path / "run", new=True) as lock:
        assert lock is not None
        monkeypatch.setenv(RANK, "1")
        with held(tmp_path / "run", new=True) as lock_of_another:
            assert lock_of_another is None


@pytest.mark.parametrize("new", [True, False])
def test_what_killed_writers_left_goes_under_the_lock(tmp_path: Path, new: bool) -> None:
    for name in (".config.yaml.unfinished", "state.lock.0123456789abcdef0123456789abcdef"):
        (tmp_path / name).touch()
    with held(tmp_path, new=new):
        assert [path.name for path in tmp_path.iterdir()] == ["state.lock"]


def test_a_disk_without_room_is_seen_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 4096)
    wanted = (
        r"run: no room for the states and the weights of this run: [\d.]+ MiB needed, 4.0 KiB free .* MiB missing: "
    )
    with pytest.raises(OutputError, match=f"{wanted}make room, and give the same command again$"):
        run(tiny(*BRIEF), tmp_path / "run", stop=lambda: pytest.fail("it was trained"))
    assert not (tmp_path / "run").exists()


def test_what_a_run_has_written_already_need_not_be_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = tiny(*BRIEF), tmp_path / "run"
    run(config, folder, stop=after(1))
    job = job_alone(config)
    weights = bytes_of(job.model.state_dict().values())
    to_come = 2 * state_bytes(job.model, job.optimizer, job.average, MOMENTS["adamw"]) + 3 * weights
    leave(monkeypatch, int(0.9 * to_come))
    with pytest.raises(OutputError, match=r"no room for the states .* is safe: make room, then geofcs train --resume"):
        run(config, folder, resume=True)
    leave(monkeypatch, int(1.1 * to_come))
    assert run(config, folder, stop=after(1), resume=True).iteration == 2


def test_a_disk_that_fills_up_is_seen_before_a_state_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = tmp_path / "run", {}

    def fill() -> None:
        leave(monkeypatch, 4096)
        before.update(content(folder / "state"))

    with pytest.raises(
        OutputError, match=r"no room for a state: .* missing; the state after iteration 1 is safe"
    ) as ended:
        run(tiny(*BRIEF), folder, stop=once_saved(folder, fill))
    assert ended.value.exit_code == 5
    assert before and content(folder / "state") == before


@pytest.mark.parametrize("optimiser", sorted(MOMENTS))
def test_the_size_of_a_state_is_known_before_the_first_iteration(optimiser: str) -> None:
    job = job_alone(tiny(*LIGHT, f"train.optimiser={optimiser}"))
    expected = state_bytes(job.model, job.optimizer, job.average, MOMENTS[optimiser])
    for parameter in job.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    job.optimizer.step()
    assert expected == pytest.approx(bytes_of(state_tensors(job.model, job.optimizer, job.average).values()), rel=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_resume_is_refused_until_the_first_is_gone_however_it_went(tmp_path: Path, processes: int) -> None:
    folder = tmp_path / "run"
    settings = (f"train.devices={processes}", "train.batch=4", "train.iterations=100000", "output.save_every=1",
                "validation.every=50000")  # fmt: skip
    first = begun(folder, *(word for setting in settings for word in ("--set", setting)))
    wait_for(folder / "state" / "last.json")
    second = resumed(folder)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 5
    assert re.search(rf"state: process {first.pid} on .* is writing there: wait for it to end", said), said
    first.kill()
    first.communicate()
    third, until = resumed(folder), time.monotonic() + 120
    while f'"pid": {third.pid},' not in (folder / "state.lock").read_text():
        assert time.monotonic() < until, "the lock was not taken over"
        time.sleep(0.05)
    third.send_signal(signal.SIGTERM)
    _, said = third.communicate(timeout=120)
    assert third.returncode == 143 and "all saved" in said, said
