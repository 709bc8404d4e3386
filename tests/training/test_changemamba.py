"""ChangeMamba trains like any other model, from its own weights or from the encoder of another model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from geofcs.classes import LANDSAT, SECOND
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.config import ChangeMambaConfig, EncoderConfig, MambaFCSConfig
from geofcs.model.names import published_name, published_shapes
from geofcs.model.weights import load_weights, save_weights
from geofcs.training.config import ModelConfig, read_config, recipe_file
from geofcs.training.start import starting_model
from tests.training.runs import after, left_by, run, tiny

ENCODER = EncoderConfig(8, (1, 1, 1, 1), drop_path=0.2)
CONFIG = ChangeMambaConfig(ENCODER, SECOND.count, decoder_width=16)
CHANGEMAMBA = ("model.architecture=changemamba", "model.decoder_width=16", "loss.sek=0")


def model_config(weights: Path | None, **changes: object) -> ModelConfig:
    tiny_one = {"size": "pico", "width": 8, "depths": (1, 1, 1, 1), "decoder_width": 16, "weights": weights, **changes}
    return read_config(recipe_file("second", None, "changemamba")).model.model_copy(update=tiny_one)


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(x, second[name]) for name, x in first.items())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ChangeMamba for SECOND's classes."""
    path = tmp_path_factory.mktemp("trained") / "rival.safetensors"
    save_weights(path, build(CONFIG, 77), CONFIG, SECOND, 64, "for a test")
    return path


@pytest.mark.long
def test_a_run_stopped_and_resumed_leaves_the_same_bytes_as_one_never_stopped(tmp_path: Path) -> None:
    config = tiny(*CHANGEMAMBA, "train.iterations=2")
    run(config, tmp_path / "whole")
    assert run(config, tmp_path / "run", stop=after(1)).interrupted
    run(config, tmp_path / "run", resume=True)
    assert left_by(tmp_path / "run") == left_by(tmp_path / "whole")
    assert load_weights(tmp_path / "run" / "best.safetensors").info.config == CONFIG


def test_for_other_classes_only_the_head_is_made_anew(trained: Path) -> None:
    start, source = starting_model(model_config(trained), LANDSAT, 1), build(CONFIG, 77)
    for name, part in start.model.named_children():
        assert same(part, source.get_submodule(name)) == (name != "land_cover_head"), name
    assert start.said.endswith("but for land_cover_head: fresh, for the classes of landsat instead of second")


def test_the_size_can_be_that_of_the_weights(trained: Path) -> None:
    as_it_is = {"size": "weights", "width": None, "depths": None, "decoder_width": None}
    assert starting_model(model_config(trained, **as_it_is), SECOND, 1).model.config == CONFIG


def test_the_encoder_of_a_mamba_fcs_starts_a_changemamba(tmp_path: Path) -> None:
    config = MambaFCSConfig(ENCODER, SECOND.count)
    source, path = build(config, 5), tmp_path / "other.safetensors"
    save_weights(path, source, config, SECOND, 64, "for a test")
    start, fresh = starting_model(model_config(path), SECOND, 1), starting_model(model_config(None), SECOND, 1)
    assert same(start.model.encoder, source.encoder)
    assert same(start.model.get_submodule("change_decoder"), fresh.model.get_submodule("change_decoder"))
    assert start.said == "the encoder is that of other.safetensors, a mamba-fcs, all else is fresh"


def test_a_decoder_of_another_width_is_refused_in_one_line(trained: Path) -> None:
    with pytest.raises(InputError, match="its change_decoder has other tensors than the config's model") as caught:
        starting_model(model_config(trained, decoder_width=24), SECOND, 1)
    assert "\n" not in str(caught.value)


def test_a_released_file_starts_a_run_as_it_is(tmp_path: Path) -> None:
    source = build(CONFIG, 77)
    tensors = {
        published_name(name, "changemamba"): each.reshape(published_shapes(name, tuple(each.shape))[0])
        for name, each in source.state_dict().items()
    }
    torch.save(tensors, tmp_path / "changemamba.pth")
    start = starting_model(model_config(tmp_path / "changemamba.pth"), SECOND, 1)
    assert same(start.model, source)
    assert start.said == "all weights are those of changemamba.pth"
