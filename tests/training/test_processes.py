"""A run of two processes: the numbers of one, and one end for both, whatever ends it."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from geofcs.classes import SECOND
from geofcs.model.weights import load_weights
from geofcs.training.checkpoint import Checkpoints
from geofcs.training.order import permutation
from geofcs.training.sets import sets_of
from geofcs.training.validate import Validation
from tests.training.folders import coloured, made, save, second_as_distributed
from tests.training.runs import job_alone, left_by, run, tiny
from tests.training.test_command import BEGIN, SETTINGS, wait_for

DIVIDED = ("train.batch=4", "output.log_every=1", "worlds.validation_pairs=3", "validation.batch=1")
TWO = ("train.devices=2", *DIVIDED)
LONG_ENOUGH = ("train.iterations=100000", "output.save_every=1", "validation.every=100000")

PROMPTLY = 200.0
"""Seconds, of which starting two processes on a busy machine takes nearly all; NCCL and gloo wait for half an hour."""


def words(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def started(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def begun(folder: Path, *settings: str) -> subprocess.Popen[str]:
    """A run of two processes."""
    return started("-m", "geofcs", *BEGIN, *SETTINGS, *words(*TWO, *settings), "-o", str(folder))


def ended(process: subprocess.Popen[str], seconds: float = PROMPTLY) -> tuple[int, str]:
    """Exit code and what was said on stderr; with the process all of its kin end."""
    try:
        _, said = process.communicate(timeout=seconds)
        assert nobody_left(process.pid)
    finally:
        if not nobody_left(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def nobody_left(group: int, seconds: float = 10) -> bool:
    """Whether a group of processes has no member any more, or soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that came to its end."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, said = ended(begun(folder))
    assert code == 0, said
    assert said.count("the weights are fresh") == said.count("done; the best weights") == 1
    return folder


@pytest.mark.long
def test_two_devices_compute_what_two_accumulated_steps_compute_on_one(whole: Path, tmp_path: Path) -> None:
    run(tiny("train.accumulate=2", *DIVIDED), tmp_path / "one")
    one, two = rows(tmp_path / "one" / "losses.csv"), rows(whole / "losses.csv")
    assert len(one) == len(two) == 8
    for alone, both in zip(one, two, strict=True):
        assert {key: float(value) for key, value in both.items()} == pytest.approx(
            {key: float(value) for key, value in alone.items()}, rel=1e-4
        )


@pytest.mark.long
def test_two_processes_validate_three_pairs_as_one_does(whole: Path) -> None:
    job = job_alone(tiny(*DIVIDED))
    job.judged.load_state_dict(load_weights(whole / "last.safetensors").model.state_dict())
    numbers = Validation(sets_of(job.config).validation, job).quality().numbers
    told = rows(whole / "metrics.csv")[-1]
    assert {name: "" if value is None else str(value) for name, value in numbers.items()} == {
        name: value for name, value in told.items() if name not in ("iteration", "protocol")
    }


def spoilt_pairs(folder: Path) -> Path:
    """Pairs of which the second process meets one with a colour that stands for nothing in its second iteration."""
    second_as_distributed(folder / "train", [(f"{number:05}", made(number)) for number in range(8)])
    second_as_distributed(folder / "val", [("a", made(20)), ("b", made(21))])
    wrong = coloured(np.zeros((48, 48), np.uint8), SECOND)
    wrong[3, 5] = (1, 2, 3)
    number = int(permutation(8, tiny().train.seed, 0)[6])  # 4 pairs an iteration, the last two are the second's
    save(folder / "train" / "label1" / f"{number:05}.png", wrong)
    return folder


def of_pairs(folder: Path) -> tuple[str, ...]:
    """Settings of a run on pairs in a folder, which saves only when something makes it."""
    return "data.dataset=second", f"data.folder={folder}", "output.save_every=100", "output.log_every=100"


@pytest.mark.long
def test_a_pair_that_one_process_cannot_read_ends_both_with_one_line_and_the_state_saved(tmp_path: Path) -> None:
    process = begun(tmp_path / "run", *of_pairs(spoilt_pairs(tmp_path / "pairs")))
    check_told_of_the_pair(process, tmp_path / "run")


def check_told_of_the_pair(process: subprocess.Popen[str], folder: Path, seconds: float = PROMPTLY) -> None:
    """The end of a run on `spoilt_pairs`."""
    code, said = ended(process, seconds)
    assert code == 3, said
    assert said.count("row 3, column 5 holds (1, 2, 3)") == 1
    assert "the state after iteration 1 is safe" in said and "Traceback" not in said
    assert Checkpoints(folder / "state").load()[1]["progress"]["iteration"] == 1


@pytest.mark.long
def test_a_termination_of_the_first_process_stops_both_and_going_on_leaves_the_bytes_of_a_run_never_stopped(
    whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = begun(folder, "output.save_every=1")
    wait_for(folder / "state" / "last.json")
    process.terminate()
    code, said = ended(process)
    assert code == 143, said
    assert "all saved; go on with" in said
    code, said = ended(started("-m", "geofcs", "train", "--resume", str(folder)))
    assert code == 0, said
    assert left_by(folder) == left_by(whole)


@pytest.mark.long
def test_an_interrupt_of_the_terminal_stops_both(tmp_path: Path) -> None:
    process = begun(tmp_path / "run", *LONG_ENOUGH, "data.workers=1")
    wait_for(tmp_path / "run" / "state" / "last.json")
    os.killpg(process.pid, signal.SIGINT)
    code, said = ended(process)
    assert code == 130, said
    assert said.count("all saved; go on with") == 1 and "Traceback" not in said


def follower_of(leader: int) -> int:
    """The process that a leader started."""
    (one,) = [child for child in psutil.Process(leader).children() if "train" in child.cmdline()]
    return int(one.pid)


SAID_OF_A_KILL = r"process 2 of 2 of this run was ended \(SIGKILL\).*state after iteration \d+ is safe"


@pytest.mark.long
@pytest.mark.parametrize("who", ["leader", "follower"])
def test_when_one_process_is_killed_the_other_ends(tmp_path: Path, who: str) -> None:
    process = begun(tmp_path / "run", *LONG_ENOUGH)
    wait_for(tmp_path / "run" / "state" / "last.json")
    os.kill(process.pid if who == "leader" else follower_of(process.pid), signal.SIGKILL)
    code, said = ended(process)
    assert code == (-9 if who == "leader" else 6)
    if who == "follower":
        assert re.search(SAID_OF_A_KILL, said)


@pytest.mark.long
def test_numbers_that_are_not_finite_end_both_with_one_line(tmp_path: Path) -> None:
    code, said = ended(begun(tmp_path / "run", "train.lr=1e30", "train.clip=null", "train.warmup=0"))
    assert code == 6, said
    assert said.count("3 iterations in a row gave numbers that are not finite") == 1 and "Traceback" not in said
    assert len(re.findall(r"train-\d", said)) == 4, "the names of both processes' pairs"


FULL = """
import os, torch
from geofcs.cli import main
from geofcs.training import step
whole = step.change_loss
def full(*arguments):
    if os.environ["LOCAL_RANK"] == "{rank}":
        raise torch.OutOfMemoryError("CUDA out of memory")
    return whole(*arguments)
step.change_loss = full
main()
"""
"""The command, in a process of which there is too little memory."""


@pytest.mark.long
@pytest.mark.parametrize("rank", ["0", "1"])
def test_too_little_memory_in_one_process_ends_both_with_the_advice(tmp_path: Path, rank: str) -> None:
    command = [*BEGIN, *SETTINGS, *words(*TWO), "-o", str(tmp_path / "run")]
    code, said = ended(started("-c", FULL.replace("{rank}", rank), *command))
    assert code == 6, said
    assert said.count("train.accumulate=2") == 1
