"""Interrupts and terminations of the command: the first lets it finish what is under way, the second ends it."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from geofcs.detect import detect
from geofcs.plan import DetectRequest
from geofcs.synthetic.write import Extent
from tests.made import make_material
from tests.stubs import Silent

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""With the exit code of a command that they have ended."""

THREADS = {"tiles": 2, "hanging": 2, "rasters": 1, "polygons": 1}
"""How many of a command wait in a stage."""

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two blocks for two workers, of three strips of two tiles each."""
    folder = tmp_path_factory.mktemp("scenes")
    make_material(folder, Extent(300, 100), width=4)
    return folder


@dataclass(frozen=True)
class Waiting:
    """A command that waits in the middle of a stage."""

    scenes: Path
    folder: Path
    process: subprocess.Popen[str]

    @property
    def strips(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "out.partial").rglob("strips/*/*.tif"))

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said

    def gone_on_with(self) -> dict[str, bytes]:
        """The rasters, when the same is given again and nothing disturbs it."""
        t1, t2, weights = (self.scenes / name for name in ("t1.tif", "t2.tif", "w.safetensors"))
        listener = Silent()
        detect(DetectRequest(str(t1), str(t2), self.folder / "out", weights, tile=64, overlap=16, workers=2), listener)
        assert any("going on with the unfinished run" in note for note in listener.notes)
        return rasters(self.folder / "out")


@contextmanager
def waiting(scenes: Path, folder: Path, *stages: str) -> Iterator[list[Waiting]]:
    """Commands side by side, when each waits in its stage."""
    commands = [begun(scenes, folder / str(number), stage) for number, stage in enumerate(stages)]
    try:
        for command, stage in zip(commands, stages, strict=True):
            end = time.monotonic() + 60
            while len(list((command.folder / "marks").iterdir())) < THREADS[stage]:
                assert not command.has_ended() and time.monotonic() < end
                time.sleep(0.01)
        yield commands
    finally:
        for command in commands:
            command.process.kill()
            command.process.communicate()


def begun(scenes: Path, folder: Path, stage: str) -> Waiting:
    (folder / "marks").mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "tests.cli.waiting", stage, str(folder / "marks"), "detect", str(scenes / "t1.tif")),
        *(str(scenes / "t2.tif"), "--weights", str(scenes / "w.safetensors"), "-o", str(folder / "out")),
        *("--tile", "64", "--overlap", "16", "--threads", "1", "--workers", "2", "--quiet"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    return Waiting(scenes, folder, process)


@pytest.fixture(scope="module")
def undisturbed(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The rasters of a run without signals."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    t1, t2, weights = (scenes / name for name in ("t1.tif", "t2.tif", "w.safetensors"))
    detect(DetectRequest(str(t1), str(t2), out, weights, tile=64, overlap=16, workers=2), Silent())
    return rasters(out)


def rasters(out: Path) -> dict[str, bytes]:
    return {path.name: hashlib.sha256(path.read_bytes()).digest() for path in out.glob("*.tif")}


def test_a_signal_lets_the_strips_under_way_be_finished_and_none_be_begun(scenes: Path, tmp_path: Path) -> None:
    with waiting(scenes, tmp_path, "tiles", "tiles") as commands:
        for command, number in zip(commands, SIGNALS, strict=True):
            assert command.strips == []
            command.process.send_signal(number)
            code, said = command.ended()
            assert code == SIGNALS[number]
            assert command.strips == ["00000-00000.tif", "00003-00000.tif"], "the first of either block"
            assert "finishing what is under way, 10 s at most" in said
            assert "same command again" in said
            assert "Traceback" not in said


def test_a_second_signal_ends_at_once(scenes: Path, tmp_path: Path) -> None:
    """A model that hangs: the first one alone would end it after eight seconds."""
    with waiting(scenes, tmp_path, "hanging", "hanging") as commands:
        for command, number in zip(commands, SIGNALS, strict=True):
            command.process.send_signal(number)
        time.sleep(0.5)
        for command, number in zip(commands, SIGNALS, strict=True):
            assert not command.has_ended()
            began = time.monotonic()
            command.process.send_signal(number)
            code, said = command.ended()
            assert time.monotonic() - began < 3
            assert code == SIGNALS[number]
            assert "Traceback" not in said


def test_a_signal_while_products_are_made_ends_the_command_and_the_same_one_goes_on(
    scenes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with waiting(scenes, tmp_path, "rasters", "polygons") as commands:
        for command, number in zip(commands, SIGNALS, strict=True):
            command.process.send_signal(number)
            code, said = command.ended()
            assert code == SIGNALS[number]
            assert "same command again" in said
            assert "Traceback" not in said
            assert not (command.folder / "out").exists()
            assert len(command.strips) == 6
            assert command.gone_on_with() == undisturbed
