"""A GPU that fails: its process ends and another takes its blocks, or the run ends and says how to go on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geofcs.blocks import BlockJob
from geofcs.crew import BLOCKS_PER_GPU, Crew
from geofcs.errors import ComputeError, LostGpuError
from tests.schedule.scorers import LostGpuSource
from tests.schedule.test_here import run_here, threads
from tests.stubs import StubScorer, StubScorerSource
from tests.test_blocks import mosaic, run, stub_job


def lost_gpu_job(folder: Path) -> BlockJob:
    """A job whose GPU is lost once; the strips of its second tile row and whatever follows there need it."""
    (folder / "faults").mkdir()
    return replace(stub_job(folder / "strips"), scorer=LostGpuSource(400, folder / "faults"))


def test_a_process_whose_gpu_is_lost_ends_and_a_fresh_one_takes_its_blocks(tmp_path: Path) -> None:
    """All that it has under way: one of them meets the error, and to the others every call fails."""
    job, crew = lost_gpu_job(tmp_path), Crew("processes", 1, BLOCKS_PER_GPU, 1)
    blocks = job.lattice.blocks(crew.in_flight, 3)
    done = run_here(crew, job, blocks)
    assert len(list((tmp_path / "faults").iterdir())) == 1
    assert (done.lost, len(done.counts)) == ([], len(blocks))
    assert np.array_equal(mosaic(job, blocks), run(stub_job(tmp_path / "plain"), 1, 32))


def test_a_gpu_that_is_lost_to_this_process_ends_the_run_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("is_initialized", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, getattr(torch.cuda, name))  # to be put back
    job = lost_gpu_job(tmp_path)
    with pytest.raises(
        LostGpuError, match=r"GPU failed \(CUDA error: device-side assert triggered\): .*to go on"
    ) as said:
        run_here(threads(BLOCKS_PER_GPU), job, job.lattice.blocks(2))
    assert "\n" not in str(said.value)


LOST = """
import atexit
from geofcs.cli import app
from geofcs.errors import LostGpuError
def command():
    raise LostGpuError("the GPU failed")
app.app = command
atexit.register(print, "farewell")
app.main()
"""
"""The command as it ends when its GPU is lost."""


def test_the_command_then_ends_at_once_for_what_it_holds_on_the_gpu_cannot_be_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (6, "", "geofcs: the GPU failed\n")


@dataclass(frozen=True)
class RaisingSource(StubScorerSource):
    """Its model cannot even be loaded."""

    error: Exception = RuntimeError()  # noqa: RUF009, nobody changes it

    def load(self) -> StubScorer:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("No CUDA GPUs are available"), r"GPU failed \(No CUDA GPUs"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), r"GPU failed \(cuDNN error"),
        (
            torch.AcceleratorError("CUDA error: invalid argument\nFor debugging"),
            r"GPU failed \(CUDA error: invalid arg",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), r"out of memory \(CUDA out.*smaller --tile or --batch"),
        (MemoryError(), r"out of memory \(MemoryError\)"),
    ],
)
def test_what_fails_outside_the_model_is_told_in_a_line(tmp_path: Path, error: Exception, said: str) -> None:
    job = replace(stub_job(tmp_path / "strips", 64, 64), scorer=RaisingSource(400, error))
    with pytest.raises(ComputeError, match=said):
        run_here(threads(1), job, job.lattice.blocks(1))
