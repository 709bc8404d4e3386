"""Detection on real GPUs: the same bytes however the work is split or interrupted, short memory, a GPU that is lost."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from geofcs import batches, crew, scoring
from geofcs.bench.made_pair import SCENES, make_pair
from geofcs.blocks import BlockJob
from geofcs.crew import BLOCKS_PER_GPU, Crew
from geofcs.detect import detect
from geofcs.devices import gpus_of
from geofcs.journal import RUN_FILE
from geofcs.model.shipped import SHIPPED
from geofcs.plan import DetectRequest
from geofcs.records import read_sealed
from tests.schedule.scorers import AssertingSource
from tests.schedule.test_here import run_here, threads
from tests.stubs import Silent
from tests.test_blocks import mosaic, stub_job
from tests.torture.runs import Content, content_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no NVIDIA GPU on this machine")
on_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs in this machine")

DEVICE = "cuda:0"
"""One, where there are more."""

SIDE, TILE, OVERLAP = 1536, 128, 32
"""Sixteen rows of sixteen tiles: blocks are cut differently for one process and for two."""

STRIPS_BEFORE_DEATH = 6
"""Of some sixteen, at which a process is killed."""

PATIENCE = 90.0
"""Seconds; starting some processes at once takes most of ten."""

KILLED = f"""
import os, signal
from geofcs import blocks
from geofcs.cli import main
whole, written = blocks.write_strip, []
def write_strip(*arguments):
    whole(*arguments)
    written.append(arguments)
    if len(written) == {STRIPS_BEFORE_DEATH}:
        os.kill(os.getpid(), signal.SIGKILL)
blocks.write_strip = write_strip
main()
"""
"""The command, in a process that is killed while its other threads are anywhere."""

LOST = """
from geofcs.cli import main
from geofcs.scoring import ModelScorer
from tests.schedule.scorers import read_beyond_the_end
whole, calls = ModelScorer.__call__, []
def call(self, t1, t2):
    calls.append(t1)
    if len(calls) == 12:
        read_beyond_the_end(self.device)
    return whole(self, t1, t2)
ModelScorer.__call__ = call
main()
"""
"""The command, in a process whose GPU is lost in the middle of its tiles."""

COMMANDS = {
    "two processes": (["-m", "geofcs"], ["--workers", "2"]),
    "a process": (["-m", "geofcs"], ["--worker-kind", "processes"]),
    "killed": (["-c", KILLED], []),
    "lost": (["-c", LOST], []),
}
"""Ways to run it, and with what options."""


@dataclass(frozen=True)
class Material:
    """Two scenes."""

    folder: Path

    def request(self, out: Path, **changes: Any) -> DetectRequest:
        t1, t2 = (str(self.folder / name) for name in SCENES)
        given: dict[str, Any] = {"tile": TILE, "overlap": OVERLAP, "device": DEVICE, "landcover": True, **changes}
        return DetectRequest(t1, t2, out, SHIPPED, **given)

    def started(self, how: list[str], options: list[str], out: Path, device: str = DEVICE) -> subprocess.Popen[str]:
        """The same as a command."""
        command = [
            *(sys.executable, *how, "detect", *(str(self.folder / name) for name in SCENES), "-o", str(out)),
            *("--tile", str(TILE), "--overlap", str(OVERLAP), "--device", device, "--landcover", "--quiet"),
        ]
        return subprocess.Popen([*command, *options], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@dataclass(frozen=True)
class Commands:
    """All of `COMMANDS`, started at the same time on one GPU."""

    material: Material
    folder: Path
    processes: dict[str, subprocess.Popen[str]]

    def out(self, name: str) -> Path:
        """The output of one of them."""
        return self.folder / name

    def ended(self, name: str) -> tuple[int, str]:
        """Exit code and what was said on stderr."""
        return ended(self.processes[name])


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    make_pair(folder, SIDE, 2)
    return Material(folder)


@pytest.fixture(scope="module")
def commands(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("commands")
    processes = {name: material.started(*each, folder / name) for name, each in COMMANDS.items()}
    yield Commands(material, folder, processes)
    for process in processes.values():
        process.kill()


@pytest.fixture(scope="module")
def undisturbed(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What this process makes, while the commands begin."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    record = detect(commands.material.request(out), Silent())
    assert record["crew"]["kind"] == "threads" and record["plan"]["compute"]["batch"] > 1
    assert len(np.unique(codes_of(out))) > 3, "a scene in which nothing is found shows nothing"
    assert record["counts"]["polygons"] > 100
    return content_of(out)


def codes_of(out: Path) -> np.ndarray:
    with rasterio.open(out / "change.tif") as file:
        return np.asarray(file.read(1))


@pytest.mark.parametrize("name", ["two processes", "a process"])
def test_processes_that_share_a_gpu_change_no_byte(commands: Commands, undisturbed: Content, name: str) -> None:
    code, said = commands.ended(name)
    assert code == 0, said
    assert content_of(commands.out(name)) == undisturbed


def test_a_run_that_was_killed_among_its_tiles_goes_on_to_the_same_bytes(
    commands: Commands, undisturbed: Content
) -> None:
    code, said = commands.ended("killed")
    assert code == -9, said
    record = gone_on(commands, "killed")
    assert record["counts"]["strips_kept"] >= STRIPS_BEFORE_DEATH
    assert content_of(commands.out("killed")) == undisturbed


def test_a_run_whose_gpu_is_lost_says_how_to_go_on_and_goes_on_to_the_same_bytes(
    commands: Commands, undisturbed: Content
) -> None:
    code, said = commands.ended("lost")
    assert code == 6, said
    assert " failed (" in said and "): give the same command again to go on" in said, said
    assert "Traceback" not in said
    gone_on(commands, "lost")
    assert content_of(commands.out("lost")) == undisturbed


def gone_on(commands: Commands, name: str) -> dict[str, Any]:
    """The record of a run that was interrupted, given again here; its notes say that it goes on."""
    out, listener = commands.out(name), Silent()
    assert not out.exists()
    record = detect(commands.material.request(out), listener)
    assert any("going on with the unfinished run" in note for note in listener.notes)
    assert record["counts"]["strips_written"] > 0
    return record


def test_a_process_whose_gpu_is_really_lost_ends_and_a_fresh_one_takes_its_blocks(tmp_path: Path) -> None:
    def job(name: str, faults: int) -> BlockJob:
        (tmp_path / f"{name} faults").mkdir()
        scorer = AssertingSource(400, tmp_path / f"{name} faults", faults)
        return replace(stub_job(tmp_path / name), scorer=scorer)

    disturbed, plain = job("disturbed", 1), job("plain", 0)
    blocks = plain.lattice.blocks(BLOCKS_PER_GPU, 3)
    done = run_here(Crew("processes", 1, BLOCKS_PER_GPU, 1, gpus_of(DEVICE)), disturbed, blocks)
    assert len(list((tmp_path / "disturbed faults").iterdir())) == 1
    assert (done.lost, len(done.counts)) == ([], len(blocks))
    run_here(threads(BLOCKS_PER_GPU), plain, blocks)
    assert np.array_equal(mosaic(disturbed, blocks), mosaic(plain, blocks))


def test_too_little_memory_for_a_batch_halves_it_and_is_recorded(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_parts", {})
    monkeypatch.setattr(crew, "BLOCKS_PER_GPU", 1)  # what other blocks hold at the time would be a matter of luck

    def run(name: str, batch: int) -> tuple[dict[str, Any], Silent]:
        listener = Silent()
        request = material.request(tmp_path / name, batch=batch, tile=512, overlap=64, precision="fp32")
        return detect(request, listener), listener

    forget_models()
    torch.cuda.reset_peak_memory_stats()
    run("enough", 16)
    peak = torch.cuda.max_memory_allocated()
    forget_models()
    with at_most(0.65 * peak):
        record, listener = run("short", 16)
        part = record["oddities"]["batch_at_least"]
        assert part in (8, 4, 2), record["oddities"]
        assert any(f"memory was short: tiles were computed by {part} at a time, not by 16" in n for n in listener.notes)
        assert run("small", part)[0]["oddities"]["batch_at_least"] is None, "what is advised must do"
    short, *others = (codes_of(tmp_path / name) for name in ("short", "enough", "small"))
    for other in others:
        assert (short == other).mean() >= 0.999


def forget_models() -> None:
    """Models of this process with their recordings, and the memory that they took."""
    scoring._loaded.clear()
    gc.collect()
    torch.cuda.empty_cache()


@contextmanager
def at_most(count: float) -> Iterator[None]:
    """So many bytes of the first GPU for this process."""
    try:
        torch.cuda.set_per_process_memory_fraction(count / torch.cuda.get_device_properties(0).total_memory, 0)
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)


@on_two
@pytest.mark.parametrize(("device", "gpus"), [("cuda", 2), ("cuda:1", 1)])
def test_other_gpus_change_no_byte(
    material: Material, undisturbed: Content, tmp_path: Path, device: str, gpus: int
) -> None:
    code, said = ended(material.started(["-m", "geofcs"], [], tmp_path / "out", device))
    assert code == 0, said
    who = read_sealed(tmp_path / "out" / RUN_FILE)["crew"]
    assert (who["processes"], len(set(who["gpus"]))) == (gpus, gpus)
    assert gpus_of("cuda")[1] in who["gpus"]
    assert content_of(tmp_path / "out") == undisturbed
