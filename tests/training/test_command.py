"""`geofcs train` as it is typed: what it says, how it ends, how it goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geofcs.cli.app import app
from geofcs.errors import GeofcsError, InputError, UsageError
from geofcs.model.weights import read_weights_info
from tests.training.folders import second_as_distributed, several
from tests.training.runs import TINY

BEGIN = ["train", "--dataset", "synthetic", "--recipe", "small"]
SETTINGS = [word for setting in TINY for word in ("--set", setting)]


def invoked(*arguments: str) -> str:
    """What the command printed; raises what it raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if isinstance(result.exception, GeofcsError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_from_the_command_line_ends_with_weights_that_say_what_they_are(tmp_path: Path) -> None:
    invoked(*BEGIN, *SETTINGS, "--set", "train.iterations=2", "-o", str(tmp_path / "run"))
    info = read_weights_info(tmp_path / "run" / "best.safetensors")
    assert info.trained.startswith("on synthetic (6 made-up pairs of second's classes, seed 1), best of validations")
    invoked("train", "--resume", str(tmp_path / "run"), "--set", "train.iterations=3", "-q")
    assert "after 3 iterations" in read_weights_info(tmp_path / "run" / "last.safetensors").trained


def test_a_dry_run_tells_data_steps_memory_and_time_and_writes_nothing(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    said = invoked(*BEGIN, *SETTINGS, "--dry-run")
    assert "6 to train on, 4 held out" in said
    assert "8 of 2 pairs, 2.7 epochs" in said
    assert re.search(r"memory +\d+\.\d\d GB", said)
    assert re.search(r"speed +\d+\.\d+ s an iteration", said)
    assert re.search(r"time +about \d+\.\d hours", said)
    assert not list(tmp_path.iterdir())


def test_a_dataset_without_a_folder_lies_in_data_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second_as_distributed(tmp_path / "data" / "second", several(f"{number:05}" for number in range(6)))
    monkeypatch.chdir(tmp_path)
    invoked("train", "--dataset", "second", *SETTINGS, "--set", "model.size=pico", "--set", "train.iterations=1",
            "--set", "data.dataset=second", "-o", "run")  # fmt: skip
    monkeypatch.chdir("/")
    invoked("train", "--resume", str(tmp_path / "run"), "--set", "train.iterations=2")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["train"], UsageError, "say --dataset second, landsat, levir, folder or synthetic"),
        (BEGIN, UsageError, "-o RUN"),
        (["train", "--dataset", "oscd", "-o", "x"], UsageError, "landsat --recipe published"),
        (["train", "--dataset", "second", "-o", "x"], UsageError, "--data DIR"),
        (["train", "--dataset", "second", "--data", "nowhere", "-o", "x"], InputError, "nowhere"),
        (["train", "--dataset", "second", "--config", "x.yaml", "-o", "x"], UsageError, "leave --dataset"),
        (["train", "--model", "changemamba", "--config", "x.yaml", "-o", "x"], UsageError, "--model out"),
        (["train", "--model", "changemamba", "--dataset", "second", "-o", "x"], UsageError, "--data DIR"),
        (["train", "--model", "changemamba", "--dataset", "synthetic", "-o", "x"], UsageError, "second --model"),
        (["train", "--model", "mamba-fcs", "--dataset", "second", "-o", "x"], UsageError, "--data DIR"),
        (["train", "--model", "snunet", "--dataset", "second", "-o", "x"], UsageError, "--model snunet"),
        (["train", "--config", "x.yaml", "-o", "x"], InputError, "no such file"),
        (["train", "--resume", "nowhere"], InputError, "no such file"),
        (["train", "--resume", "x", "--dry-run"], UsageError, "as it was begun"),
        ([*BEGIN, "-o", "x", "--from", "none.safetensors"], InputError, "no such file"),
        ([*BEGIN, "-o", "x", "--set", "train.device=tpu"], InputError, "is not there"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: type[GeofcsError], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=re.escape(said)) as caught:
        invoked(*arguments)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def begun(folder: Path, *more: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "geofcs", *BEGIN, *SETTINGS, "-o", str(folder), *more]
    return _started(command)


def resumed(folder: Path) -> subprocess.Popen[str]:
    """The same run, taken up."""
    return _started([sys.executable, "-m", "geofcs", "train", "--resume", str(folder)])


def _started(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )


def wait_for(path: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_of_all_processes_saves_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = tmp_path / "run"
    settings = ("train.iterations=100000", "output.save_every=1", "data.workers=1", "validation.every=50000")
    process = begun(folder, *(word for setting in settings for word in ("--set", setting)))
    wait_for(folder / "state" / "last.json")
    os.killpg(process.pid, number)  # as a terminal does, and a scheduler: the readers get it too
    _, said = process.communicate(timeout=120)
    assert process.returncode == code
    found = re.search(r"stopped after (\d+) iterations, all saved; go on with geofcs train --resume (\S+)", said)
    assert found, said
    assert Path(found[2]) == folder
    assert (folder / "state" / f"state-{int(found[1]):08d}.safetensors").exists()
