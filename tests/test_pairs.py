"""Several pairs in one go: models loaded once, and one pair that fails stops no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from geofcs import scoring
from geofcs.classes import SECOND
from geofcs.errors import InputError, StoppedError
from geofcs.listener import never
from geofcs.listing import read_pairs
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.pairs import detect_pairs, exit_code_of
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions
from geofcs.scoring import ModelScorer, ModelSource
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from tests.stubs import Silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small scenes and weights."""
    folder = tmp_path_factory.mktemp("pairs")
    write_scenes(folder, SceneParameters(seed=3), Extent(100, 120))
    config = pico(classes=SECOND.count, width=8)
    save_weights(folder / "w.safetensors", build(config, 0), config, SECOND, tile=64, trained="not trained")
    return folder


class Patient(Silent):
    """Takes a stage that is not told to its end: its pair has failed."""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        self.done = self.total
        super().stage(name, total, unit, pixels_per_unit)


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


def test_pairs_share_one_model_and_one_that_fails_stops_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    rows = read_pairs(path, template(folder), None)
    rows[1] = replace(rows[1], request=replace(rows[1].request, max_polygons=1))  # untrained weights find more
    results = detect_pairs(rows, path, Patient(), never)
    assert len(loaded) == 1
    assert [result.error is None for result in results] == [True, False, True]
    assert exit_code_of(results) == 5
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".lock") == [
        "list.csv", "one", "three", "two.partial"
    ]  # fmt: skip
    rows = read_pairs(path, template(folder), None)
    again = detect_pairs(rows, path, Silent(), never)
    assert [result.run is not None for result in again] == [False, True, False], "what is finished is left alone"
    assert exit_code_of(again) == 0
    changed = [replace(row, request=replace(row.request, threshold=0.4)) for row in rows]
    with pytest.raises(InputError, match=r"line 2: .*--overwrite"):
        detect_pairs(changed, path, Silent(), never)


def test_a_list_that_is_stopped_stops_as_a_whole(folder: Path, tmp_path: Path) -> None:
    path = listing(tmp_path, f"t1,t2,out\n{folder}/t1.tif,{folder}/t2.tif,one\n{folder}/t1.tif,{folder}/t2.tif,two\n")
    listener = Silent()
    with pytest.raises(StoppedError):
        detect_pairs(read_pairs(path, template(folder), None), path, listener, lambda: listener.done > 2)
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two.partial").exists()
