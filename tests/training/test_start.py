"""Where a model's first weights come from: nowhere, an encoder, a model, and what becomes of heads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from geofcs.classes import BINARY, LANDSAT, SECOND
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.config import EncoderConfig, MambaFCSConfig
from geofcs.model.weights import read_weights_info, save_encoder, save_weights
from geofcs.training.config import ModelConfig, read_config, recipe_file
from geofcs.training.start import starting_model
from tests.model.test_published import published
from tests.training.folders import second_as_distributed, several
from tests.training.test_command import invoked

ENCODER = EncoderConfig(8, (1, 1, 1, 1), drop_path=0.1)


def model_config(weights: Path | None, **changes: object) -> ModelConfig:
    tiny = {"size": "pico", "width": 8, "depths": (1, 1, 1, 1), "weights": weights, **changes}
    return read_config(recipe_file("second", "small")).model.model_copy(update=tiny)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for SECOND's classes."""
    path = tmp_path_factory.mktemp("trained") / "second.safetensors"
    config = MambaFCSConfig(ENCODER, SECOND.count)
    save_weights(path, build(config, 77), config, SECOND, 64, "for a test")
    return path


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(x, second[name]) for name, x in first.items())


def test_without_weights_everything_is_fresh_and_follows_from_the_seed() -> None:
    first, again, other = (starting_model(model_config(None), SECOND, seed) for seed in (1, 1, 2))
    assert same(first.model, again.model)
    assert not same(first.model, other.model)
    assert first.said == "the weights are fresh"
    assert first.model.training


def test_an_encoder_is_taken_over_and_the_rest_is_fresh(tmp_path: Path) -> None:
    whole = build(MambaFCSConfig(ENCODER, SECOND.count), 77)
    save_encoder(tmp_path / "encoder.safetensors", whole.encoder, ENCODER, "for a test")
    start = starting_model(model_config(tmp_path / "encoder.safetensors"), SECOND, 1)
    fresh = starting_model(model_config(None), SECOND, 1)
    assert same(start.model.encoder, whole.encoder)
    assert same(start.model.get_submodule("change_decoder"), fresh.model.get_submodule("change_decoder"))
    assert "the encoder is that of encoder.safetensors" in start.said


def test_a_model_of_the_same_classes_is_taken_over_whole(trained: Path) -> None:
    start = starting_model(model_config(trained), SECOND, 1)
    assert same(start.model, build(MambaFCSConfig(ENCODER, SECOND.count), 77))
    assert start.said == "all weights are those of second.safetensors"


def test_for_other_classes_only_the_head_is_made_anew_and_that_is_said(trained: Path) -> None:
    start, fresh = (starting_model(model_config(path), LANDSAT, 1) for path in (trained, None))
    source = build(MambaFCSConfig(ENCODER, SECOND.count), 77)
    for name, part in start.model.named_children():
        expected = fresh.model if name == "land_cover_head" else source
        assert same(part, expected.get_submodule(name)), name
    assert start.said.endswith("but for land_cover_head: fresh, for the classes of landsat instead of second")


def test_a_binary_model_leaves_land_cover_behind(trained: Path) -> None:
    start = starting_model(model_config(trained), BINARY, 1)
    assert {name for name, _ in start.model.named_children()} == {
        "normalise", "encoder", "change_decoder", "change_head",
    }  # fmt: skip
    assert same(
        start.model.get_submodule("change_head"),
        build(MambaFCSConfig(ENCODER, SECOND.count), 77).get_submodule("change_head"),
    )


def test_the_size_can_be_that_of_the_weights(trained: Path) -> None:
    start = starting_model(model_config(trained, size="weights", width=None, depths=None), SECOND, 1)
    assert start.model.config.encoder.width == 8


def test_weights_of_another_size_are_refused_with_the_cure(trained: Path) -> None:
    with pytest.raises(InputError, match=r"width 8.*the config's is VMamba, width 16.*model\.size=weights"):
        starting_model(model_config(trained, width=16), SECOND, 1)


def test_a_model_with_the_frequency_branch_does_not_start_one_without(trained: Path) -> None:
    with pytest.raises(InputError, match="its change_decoder has other tensors") as caught:
        starting_model(model_config(trained, fft=False), SECOND, 1)
    assert "\n" not in str(caught.value)


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'bas'; known: pico, tiny"):
        starting_model(model_config(None, size="bas"), SECOND, 1)


def test_published_files_start_a_run_as_they_are(tmp_path: Path) -> None:
    source = build(MambaFCSConfig(ENCODER, LANDSAT.count), 77)
    tensors = published(source)
    torch.save(tensors, tmp_path / "mambafcs.pth")
    start = starting_model(model_config(tmp_path / "mambafcs.pth"), SECOND, 1)
    assert same(start.model.get_submodule("t1_decoder"), source.get_submodule("t1_decoder"))
    assert "land_cover_head: fresh, for the classes of second instead of landsat" in start.said

    encoder = {name.removeprefix("encoder."): each for name, each in tensors.items() if name.startswith("encoder.")}
    bare = {name: each for name, each in encoder.items() if not name.startswith("outnorm")}
    torch.save({"model": bare}, tmp_path / "vssm.pth")
    start = starting_model(model_config(tmp_path / "vssm.pth"), SECOND, 1)
    assert same(start.model.get_submodule("encoder.stages"), source.get_submodule("encoder.stages"))
    assert "the encoder is that of vssm.pth" in start.said


FEW_STEPS = ("train.iterations=2", "validation.every=2", "data.crop=32", "data.workers=0", "train.device=cpu",
             "train.batch=2", "validation.batch=2", "model.size=weights", "output.tensorboard=false")  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["encoder", "model of other classes", pytest.param("model of the same classes", marks=pytest.mark.long)],
)
def test_the_command_line_starts_from_a_published_file_tries_it_and_trains_it(tmp_path: Path, kind: str) -> None:
    classes = SECOND if kind.endswith("same classes") else LANDSAT
    tensors = published(build(MambaFCSConfig(ENCODER, classes.count), 77))
    if kind == "encoder":
        encoder = {name.removeprefix("encoder."): each for name, each in tensors.items() if name.startswith("encoder.")}
        classifier = {"classifier.norm.weight": torch.ones(64), "classifier.head.weight": torch.zeros(1000, 64)}
        bare = {name: each for name, each in encoder.items() if not name.startswith("outnorm")}
        torch.save({"model": bare | classifier, "epoch": 237}, tmp_path / "x.pth")
    else:
        torch.save(tensors, tmp_path / "x.pth")
    second_as_distributed(tmp_path / "SECOND", several(f"{number:05}" for number in range(6)))
    begin = ["train", "--dataset", "second", "--recipe", "small", "--data", str(tmp_path / "SECOND")]
    begin += ["--from", str(tmp_path / "x.pth"), *(word for each in FEW_STEPS for word in ("--set", each))]
    said = {
        "encoder": "the encoder is that of x.pth, all else is fresh",
        "model of other classes": "all weights are those of x.pth but for land_cover_head: fresh, for the classes of "
        "second instead of landsat",
        "model of the same classes": "all weights are those of x.pth",
    }[kind]
    assert f"parameters; {said}\n" in invoked(*begin, "--dry-run")
    assert f"{said}\n" in invoked(*begin, "-o", str(tmp_path / "run"))
    info = read_weights_info(tmp_path / "run" / "last.safetensors")
    assert info.classes == SECOND
    assert info.config.encoder.width == 8
