"""SCanNet trains like any other model: with its optimiser, its loss and a teacher, resumed without a difference."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from geofcs.classes import BINARY, SECOND
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.config import STATISTICS, ResNetConfig, SCanNetConfig
from geofcs.model.weights import load_weights
from geofcs.training.batches import Batch
from geofcs.training.losses import Labels
from geofcs.training.pseudo import Confidence
from geofcs.training.start import starting_model
from geofcs.training.teacher import SUMS, TEACHER, Teacher
from tests.training.folders import second_as_distributed, several
from tests.training.runs import after, left_by, run, tiny
from tests.training.test_command import invoked

SCANNET = (
    "model.architecture=scannet", "model.size=small", "train.optimiser=sgd", "train.lr=0.01", "train.ema=null",
    "train.warmup=0", "train.schedule=polynomial", "train.power=1.5",
    "loss.ce_change=0", "loss.lovasz_change=0", "loss.lovasz_cover=0", "loss.similarity=0", "loss.sek=0",
    "loss.bce_change=1", "loss.consistency=1", "loss.pseudo_from=0", "validation.best=f_scd",
)  # fmt: skip
"""Its recipe, and a teacher as soon as anything at all is right."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(tiny(*SCANNET), folder)
    return folder


def test_a_run_ends_with_weights_that_know_what_they_are(whole: Path) -> None:
    info = load_weights(whole / "best.safetensors").info
    assert info.config == SCanNetConfig(ResNetConfig(8, (1, 1, 1, 1)), 7)
    assert "F_SCD (per-date)" in info.trained


def test_a_run_that_was_stopped_and_resumed_leaves_the_same_bytes_teacher_and_all(whole: Path, tmp_path: Path) -> None:
    config = tiny(*SCANNET)
    assert run(config, tmp_path / "run", stop=after(5)).interrupted
    taught = last_state(tmp_path / "run")
    assert (taught[SUMS] > 0.6).any()
    assert any(name.startswith(TEACHER) for name in taught)
    run(config, tmp_path / "run", resume=True)
    assert left_by(tmp_path / "run") == left_by(whole)


def last_state(folder: Path) -> dict[str, Tensor]:
    last = json.loads((folder / "state" / "last.json").read_text())
    return load_file(folder / "state" / last["tensors"])


def model() -> SCanNetConfig:
    return SCanNetConfig(ResNetConfig(8, (1, 1, 1, 1)), 7, compare_depth=1, depth=1)


def test_a_teacher_stays_as_it_was_and_learns_what_it_is_sure_of_anew() -> None:
    teacher, pupil = Teacher(), build(model(), seed=0)
    images = 255 * torch.rand(2, 2, 3, 32, 32)
    nothing = torch.zeros(2, 32, 32, dtype=torch.long)
    batch = Batch(images[0], images[1], nothing, nothing, nothing, ("a", "b"))
    labels = Labels(nothing, nothing, nothing)
    assert teacher.labels(batch, labels) is labels
    teacher.become(pupil)
    teacher.labels(batch, labels)
    assert teacher.confidence is not None and teacher.model is not None
    assert teacher.confidence.pixels.sum() == 7 + 2 * nothing.numel()
    before = teacher.model.get_parameter("t1_head.weight").clone()
    with torch.no_grad():
        pupil.get_parameter("t1_head.weight").add_(1)
    assert torch.equal(teacher.model.get_parameter("t1_head.weight"), before)
    teacher.become(pupil)
    assert torch.equal(teacher.confidence.pixels, Confidence.first(7, nothing.device).pixels)


def test_a_binary_model_cannot_be_a_scannet() -> None:
    with pytest.raises(InputError, match="no binary variant"):
        starting_model(tiny(*SCANNET).model, BINARY, 1)


def test_pseudo_labels_need_one_process() -> None:
    with pytest.raises(InputError, match=r"loss\.pseudo_from=null"):
        run(tiny(*SCANNET, "train.devices=2"), Path("never"))


SMALL_SECOND = (
    "model.size=small", "model.width=8", "model.depths=[1,1,1,1]", "data.crop=32", "data.workers=0", "train.batch=2",
    "train.iterations=2", "train.device=cpu", "validation.every=2", "validation.batch=2", "output.tensorboard=false",
)  # fmt: skip


def test_the_command_line_trains_its_recipe_from_imagenets_weights(tmp_path: Path) -> None:
    encoder = build(model(), seed=3).encoder.state_dict()
    torch.save(encoder | {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}, tmp_path / "imagenet.pth")
    second_as_distributed(tmp_path / "SECOND", several(f"{number:05}" for number in range(8)))
    settings = [word for setting in SMALL_SECOND for word in ("--set", setting)]
    said = invoked(
        "train", "--model", "scannet", "--dataset", "second", "--data", str(tmp_path / "SECOND"),
        "--from", str(tmp_path / "imagenet.pth"), "-o", str(tmp_path / "run"), *settings,
    )  # fmt: skip
    info = load_weights(tmp_path / "run" / "last.safetensors").info
    assert info.config.normalisation == STATISTICS["second"]
    assert info.classes == SECOND
    assert "the encoder is that of imagenet.pth, all else is fresh" in said
