"""The weights inside the package: taken where none are named, and said so; without them a command asks for some."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geofcs.classes import SECOND
from geofcs.cli import main
from geofcs.model import shipped
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import read_weights_info, save_weights
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes

SMALL = pico(classes=SECOND.count, width=4, depths=(1, 1, 1, 1))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of a command."""
    monkeypatch.setattr("sys.argv", ["geofcs", *map(str, arguments)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the file inside the package."""
    path = tmp_path / "inside.safetensors"
    save_weights(path, build(SMALL, seed=0), SMALL, SECOND, tile=64, trained="on nothing at all")
    monkeypatch.setattr(shipped, "SHIPPED", path)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two dates and their truth, 96 pixels a side."""
    write_scenes(tmp_path / "scenes", SceneParameters(seed=5), Extent(96, 96))
    return tmp_path / "scenes"


def test_detect_takes_them_and_says_so_in_one_line(
    inside: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "detect", scenes / "t1.tif", scenes / "t2.tif", "-o", out, "--workers", "1") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("inside the package") == 1
    assert "weights: pico, inside the package, trained on nothing at all" in said
    assert "docs/weights.md" in said
    assert read_weights_info(inside).sha256 in (out / "run.json").read_text()


def test_named_weights_are_taken_instead_and_nothing_is_said(
    inside: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "named.safetensors"
    save_weights(named, build(SMALL, seed=1), SMALL, SECOND, tile=64, trained="otherwise")
    command = ["detect", scenes / "t1.tif", scenes / "t2.tif", "-o", tmp_path / "out", "--workers", "1"]
    assert run(monkeypatch, *command, "--weights", named) == 0
    assert "inside the package" not in capsys.readouterr().err
    assert read_weights_info(named).sha256 in (tmp_path / "out" / "run.json").read_text()


@pytest.mark.usefixtures("inside")
def test_eval_measures_them_on_a_scene(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--scene", scenes / "t1.tif", scenes / "t2.tif", "--truth", scenes / "change.tif"]
    assert run(monkeypatch, *command, "-o", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "inside the package" in " ".join(said.err.split())
    assert "F1 of change" in said.out


def test_show_describes_them_and_says_where_their_card_is(
    inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "weights", "show") == 0
    said = capsys.readouterr().out
    assert read_weights_info(inside).sha256 in said
    assert "docs/weights.md" in said


@pytest.mark.parametrize(
    "command", [("detect", "t1.tif", "t2.tif"), ("eval", "--data", "somewhere"), ("weights", "show")], ids=" ".join
)
def test_without_them_a_command_asks_for_weights(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "nothing")
    assert run(monkeypatch, *command) == 2
    assert re.search(r"no weights lie inside .* --weights FILE", " ".join(capsys.readouterr().err.split()))
