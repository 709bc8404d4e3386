"""Several pairs in one go: models loaded once, and one pair that fails stops no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from geofcs import scoring
from geofcs.errors import (
    ComputeError,
    GeofcsError,
    IncompleteError,
    InputError,
    OutputError,
    SourceError,
    StoppedError,
    VerificationError,
)
from geofcs.listener import never
from geofcs.listing import Row, read_pairs
from geofcs.lock import locked
from geofcs.pairs import PairResult, detect_pairs, exit_code_of
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions
from geofcs.scoring import ModelScorer, ModelSource
from geofcs.synthetic.write import Extent
from tests.commands import Command
from tests.made import make_material
from tests.stubs import Silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small scenes and weights."""
    folder = tmp_path_factory.mktemp("pairs")
    make_material(folder, Extent(100, 120))
    return folder


def template(folder: Path) -> DetectRequest:
    scene = SceneOptions(allow_sources=(str(folder),))
    return DetectRequest("", "", folder, folder / "w.safetensors", scene, tile=64, overlap=16, workers=1, device="cpu")


def listing(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text)
    return path


def test_nothing_runs_while_something_is_wrong_with_any_pair(folder: Path, tmp_path: Path) -> None:
    path = listing(folder, "t1,t2,out\nt1.tif,t2.tif,fine\nmissing.tif,t2.tif,a\nt1.tif,w.safetensors,b\n")
    rows = read_pairs(path, template(folder), None)
    with pytest.raises(InputError, match=r"nothing was run:\nline 3: .*missing\.tif.*\nline 4: .*w\.safetensors"):
        detect_pairs(rows, path, Silent(), never)
    assert not (folder / "fine").exists()
    assert not (folder / "fine.partial").exists()


def test_the_command_loads_one_model_and_a_pair_that_fails_stops_no_other(
    geofcs: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[ModelSource] = []
    load = scoring._load

    def counted(source: ModelSource) -> ModelScorer:
        loaded.append(source)
        return load(source)

    monkeypatch.setattr(scoring, "_load", counted)
    monkeypatch.setattr(scoring, "_loaded", {})
    text = "t1,t2,out\n{0}/t1.tif,{0}/t2.tif,one\n{0}/t1.tif,{0}/t2.tif,two\n{0}/t2.tif,{0}/t1.tif,three\n"
    path = listing(tmp_path, text.format(folder))
    command = (
        *("detect", "--pairs", path, "--weights", folder / "w.safetensors", "--allow-source", folder),
        *("--tile", 64, "--overlap", 16, "--workers", 1, "--device", "cpu"),
    )
    with locked(tmp_path / "two"):
        said = geofcs(*command)
    assert said.exit_code == 5
    assert re.search(r"^geofcs: line 3 \(two\): .*two: process \d+ on ", said.text, re.MULTILINE)
    assert f"{path}: 2 pair(s) done, 0 finished before, 1 failed" in said.text
    assert "Traceback" not in said.text
    assert len(loaded) == 1
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == ["list.csv", "one", "three"]

    said = geofcs(*command)
    assert said.exit_code == 0
    assert f"{path}: 1 pair(s) done, 2 finished before, 0 failed" in said.text

    said = geofcs(*command, "--threshold", 0.4)
    assert said.exit_code == 3
    assert re.search(r"nothing was run:\nline 2: .*--overwrite", said.text)


@pytest.mark.parametrize(("codes", "worst"), [((0, 0), 0), ((0, 7), 7), ((7, 3), 3), ((5, 4, 0), 5), ((6, 5, 8), 8)])
def test_the_exit_code_of_a_list_is_its_worst(codes: Sequence[int], worst: int, folder: Path) -> None:
    kinds = (InputError, SourceError, OutputError, ComputeError, IncompleteError, VerificationError)
    errors: dict[int, GeofcsError] = {kind.exit_code: kind("") for kind in kinds}
    row = Row(2, template(folder))
    assert exit_code_of([PairResult(row, error=errors.get(code)) for code in codes]) == worst


def test_a_list_that_is_stopped_stops_as_a_whole(folder: Path, tmp_path: Path) -> None:
    path = listing(tmp_path, f"t1,t2,out\n{folder}/t1.tif,{folder}/t2.tif,one\n{folder}/t1.tif,{folder}/t2.tif,two\n")
    listener = Silent()
    with pytest.raises(StoppedError):
        detect_pairs(read_pairs(path, template(folder), None), path, listener, lambda: listener.done > 2)
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two.partial").exists()
