"""From a folder to weights to numbers: classes of one's own, change alone, and the paper's ablations."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.classes import BINARY, SECOND, ClassScheme, LandCover, scheme_to_json
from geofcs.errors import InputError, UsageError
from geofcs.evaluation.folder import FolderRequest, evaluate_folder
from geofcs.evaluation.report import Report
from geofcs.model.weights import load_weights, read_weights_info
from geofcs.training.config import RunConfig, read_config, recipe_file
from geofcs.training.data.layouts import find_layout
from geofcs.training.sets import sets_of
from tests.stubs import Silent
from tests.training.folders import second_as_distributed, several, with_ids, with_one_label
from tests.training.runs import TINY, run

OWN = ClassScheme("mine", (LandCover("ice", (0, 160, 255)), LandCover("rock", (120, 110, 100))))
NAMES = [f"{number:05}" for number in range(6)]


def one_iteration(dataset: str, folder: Path, *settings: str) -> RunConfig:
    """The shipped config of a dataset, as small as can be, for one iteration."""
    shipped = read_config(recipe_file(dataset, None))
    classes = f"data.classes={'null' if shipped.data.classes is None else shipped.data.classes}"
    said = [*TINY, classes, f"data.folder={folder}", "model.size=pico", "train.iterations=1", *settings]
    return read_config(recipe_file(dataset, None), said)


def trained_and_measured(config: RunConfig, run_folder: Path) -> Report:
    """Train, then evaluate the best weights on what was held out."""
    run(config, run_folder)
    assert config.data.folder is not None
    request = FolderRequest(run_folder / "best.safetensors", data=config.data.folder, split="val")
    return evaluate_folder(request, Silent())


def own_folder(folder: Path) -> Path:
    """Pairs of two classes that a file names."""
    pairs = [
        (name, pair._replace(label1=pair.label1.clip(0, 2), label2=pair.label2.clip(0, 2)))
        for name, pair in several(NAMES)
    ]
    with_ids(folder, pairs)
    (folder / "classes.json").write_text(scheme_to_json(OWN))
    return folder


def test_classes_of_ones_own_are_trained_on_and_measured(tmp_path: Path) -> None:
    report = trained_and_measured(one_iteration("folder", own_folder(tmp_path / "data")), tmp_path / "run")
    assert report.scheme == read_weights_info(tmp_path / "run" / "best.safetensors").classes == OWN
    assert report.qualities[0].matrix.shape == (3, 3)


def test_classes_of_ones_own_are_not_read_as_others(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "data")
    with pytest.raises(InputError, match=r"classes\.json: names the classes of mine, but those of second"):
        sets_of(one_iteration("second", folder))
    assert find_layout(folder, OWN).scheme == OWN


def test_made_up_pairs_need_to_be_told_their_classes() -> None:
    with pytest.raises(UsageError, match=r"data\.classes=second"):
        sets_of(read_config(recipe_file("synthetic", None), ["data.classes=null"]))


def test_change_alone_is_trained_on_and_measured_in_the_layout_of_levir(tmp_path: Path) -> None:
    with_one_label(tmp_path / "data" / "train", several(NAMES), binary=True)
    report = trained_and_measured(one_iteration("levir", tmp_path / "data"), tmp_path / "run")
    assert report.scheme == BINARY and report.qualities[0].protocol == "binary"
    assert {"precision", "recall", "f1", "iou_changed", "kappa"} <= report.qualities[0].numbers.keys()
    model = load_weights(tmp_path / "run" / "best.safetensors").model
    assert not any("t1_decoder" in name or "land_cover" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("ablation", ["model.change_guided_attention=false", "model.fft=false", "loss.sek=0"])
def test_the_papers_ablations_are_trained_and_measured(tmp_path: Path, ablation: str) -> None:
    second_as_distributed(tmp_path / "data" / "train", several(NAMES))
    report = trained_and_measured(one_iteration("second", tmp_path / "data", ablation), tmp_path / "run")
    assert report.scheme == SECOND
    config = read_config(tmp_path / "run" / "config.yaml")
    section, _, key = ablation.partition("=")[0].partition(".")
    assert not getattr(getattr(config, section), key)
