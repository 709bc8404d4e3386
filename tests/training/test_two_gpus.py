"""Training on two real GPUs: the numbers of one that sees the whole batch, and one end for both, whatever ends it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from geofcs.model.interface import Logits
from geofcs.model.vss import DropPath
from geofcs.model.weights import load_weights
from geofcs.training import step
from geofcs.training.config import RunConfig
from geofcs.training.losses import Labels, LossTerms, LossWeights, change_loss
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.validate import Validation
from tests.training.runs import STILL, job_alone, run, tiny
from tests.training.test_command import BEGIN, SETTINGS, wait_for
from tests.training.test_processes import (
    FULL,
    LONG_ENOUGH,
    SAID_OF_A_KILL,
    check_told_of_the_pair,
    ended,
    follower_of,
    nobody_left,
    of_pairs,
    rows,
    spoilt_pairs,
    started,
    words,
)

pytestmark = pytest.mark.skipif(
    torch.cuda.device_count() < 2,
    reason=f"two GPUs are needed, torch finds {torch.cuda.device_count()} on this machine",
)

DEVICE = "cuda"

PATIENCE = 90.0
"""Seconds for processes that should take some twenty, of which NCCL's start is the most."""

WHOLE = (
    *STILL, f"train.device={DEVICE}", "train.batch=4", "worlds.pairs=4", "worlds.side=64", "data.crop=64",
    "worlds.validation_pairs=3", "validation.batch=1", "output.log_every=1",
)  # fmt: skip
ON_TWO = ("train.devices=2", *WHOLE)

EXACT = """
import torch
from geofcs.cli import main
from geofcs.model.vss import DropPath
DropPath.forward = lambda self, branch: branch
torch.backends.cudnn.allow_tf32 = False
main()
"""
"""The command without stochastic depth, of which each process draws its own, and with convolutions in float32."""

APART = 1e-4
"""How far averaged weights may be apart after eight iterations, in which the farthest move some six times as far."""


@contextmanager
def exactly_as_two() -> Iterator[None]:
    """Inside, this process computes like `EXACT`, and the mean of the losses of either half of a batch."""
    with pytest.MonkeyPatch.context() as patch, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        patch.setattr(DropPath, "forward", lambda _, branch: branch)
        patch.setattr(step, "change_loss", loss_of_halves)
        yield


def loss_of_halves(logits: Logits, labels: Labels, weights: LossWeights) -> LossTerms:
    """Each process takes the loss of its own part: several terms are no means over pixels."""
    said, truth = (list(zip(*(chunks(each) for each in both), strict=True)) for both in (logits, labels))
    halves = [change_loss(Logits(*one), Labels(*other), weights) for one, other in zip(said, truth, strict=True)]
    return LossTerms(*(torch.stack(terms).mean(0) for terms in zip(*halves, strict=True)))


def chunks(batch: Tensor | None) -> tuple[Tensor, ...]:
    assert batch is not None
    return batch.chunk(2)


@dataclass(frozen=True)
class Begun:
    """Runs of two processes each, started at the same time."""

    folder: Path
    processes: dict[str, subprocess.Popen[str]]

    def ended(self, name: str) -> tuple[int, str]:
        """Exit code of a run and what it said."""
        return ended(self.processes[name], PATIENCE)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begun]:
    folder = tmp_path_factory.mktemp("begun")

    def start(name: str, how: tuple[str, ...], *settings: str) -> subprocess.Popen[str]:
        return started(*how, *BEGIN, *SETTINGS, *words(*ON_TWO, *settings), "-o", str(folder / name))

    processes = {
        "whole": start("whole", ("-c", EXACT)),
        "spoilt": start("spoilt", ("-m", "geofcs"), "data.crop=32", *of_pairs(spoilt_pairs(folder / "pairs"))),
        "full": start("full", ("-c", FULL.replace("{rank}", "1"))),
        "killed": start("killed", ("-m", "geofcs"), *LONG_ENOUGH),
    }
    yield Begun(folder, processes)
    for process in processes.values():
        if not nobody_left(process.pid, 0.1):
            os.killpg(process.pid, signal.SIGKILL)


def config(*settings: str) -> RunConfig:
    """Of the same run on one GPU."""
    return tiny(*WHOLE, *settings)


@pytest.fixture(scope="module")
def alone(begun: Begun) -> Path:
    """The run on one GPU, which goes on here while those of two processes begin."""
    with exactly_as_two():
        run(config(), begun.folder / "alone")
    return begun.folder / "alone"


@pytest.fixture(scope="module")
def whole(begun: Begun, alone: Path) -> Path:
    """The run on two, waited for when the other is done."""
    code, said = begun.ended("whole")
    assert code == 0, said
    assert said.count("the weights are fresh") == said.count("done; the best weights") == 1
    return begun.folder / "whole"


def check_same_losses(one: Path, two: Path, iterations: int) -> None:
    alone, both = (rows(folder / "losses.csv") for folder in (one, two))
    assert len(alone) == len(both) == iterations
    for first, second in zip(alone, both, strict=True):
        assert {key: float(value) for key, value in second.items()} == pytest.approx(
            {key: float(value) for key, value in first.items()}, rel=5e-3, abs=1e-4
        )
    assert float(both[-1]["total"]) < float(both[0]["total"])


def weights(path: Path) -> Tensor:
    """All of a file's, in a row."""
    return parameters_to_vector(load_weights(path).model.parameters()).detach()


def test_two_gpus_compute_what_one_computes_that_sees_the_whole_batch(whole: Path, alone: Path) -> None:
    check_same_losses(alone, whole, 8)
    fresh = starting_model(config().model, sets_of(config()).classes, config().train.seed).model
    one, two = (weights(folder / "last.safetensors") for folder in (alone, whole))
    assert (two - parameters_to_vector(fresh.parameters()).detach()).abs().max() > 4 * APART
    torch.testing.assert_close(two, one, rtol=0, atol=APART)


def test_two_gpus_validate_three_pairs_as_one_does(whole: Path) -> None:
    job = job_alone(config())
    job.judged.load_state_dict(load_weights(whole / "last.safetensors").model.state_dict())
    numbers = Validation(sets_of(job.config).validation, job).quality().numbers
    told = rows(whole / "metrics.csv")[-1]
    assert {name: told[name] == "" for name in numbers} == {name: value is None for name, value in numbers.items()}
    known = {name: value for name, value in numbers.items() if value is not None}
    # Each process has chosen its own algorithms: a pixel may fall to either side.
    assert {name: float(told[name]) for name in known} == pytest.approx(known, abs=5e-3)


def test_a_run_on_two_gpus_goes_on_from_its_state(whole: Path, alone: Path, tmp_path: Path) -> None:
    for each in (whole, alone):
        shutil.copytree(each, tmp_path / each.name)
    further = "train.iterations=10"
    process = started("-c", EXACT, "train", "--resume", str(tmp_path / "whole"), "--set", further)
    with exactly_as_two():
        run(config(further), tmp_path / "alone", resume=True)
    code, said = ended(process, PATIENCE)
    assert code == 0, said
    check_same_losses(tmp_path / "alone", tmp_path / "whole", 10)


def test_a_pair_that_one_gpu_s_process_cannot_read_ends_both_with_one_line(begun: Begun) -> None:
    check_told_of_the_pair(begun.processes["spoilt"], begun.folder / "spoilt", PATIENCE)


def test_too_little_memory_on_one_gpu_ends_both_processes_with_the_advice(begun: Begun) -> None:
    code, said = begun.ended("full")
    assert code == 6, said
    assert said.count("train.accumulate=2") == 1 and "Traceback" not in said


def test_a_process_that_is_killed_ends_the_other_which_waits_for_its_gpu(begun: Begun) -> None:
    process = begun.processes["killed"]
    wait_for(begun.folder / "killed" / "state" / "last.json")
    os.kill(follower_of(process.pid), signal.SIGKILL)
    code, said = ended(process, PATIENCE)
    assert code == 6, said
    assert re.search(SAID_OF_A_KILL, said), said
