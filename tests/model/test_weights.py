"""Weights files: what is written comes back, says what it is, and tells when it was harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme, LandCover
from geofcs.errors import InputError, OutputError
from geofcs.model.build import build
from geofcs.model.config import EncoderConfig, MambaFCSConfig, Normalisation
from geofcs.model.encoder import Encoder
from geofcs.model.sizes import pico
from geofcs.model.weights import (
    WeightsInfo,
    load_encoder,
    load_weights,
    read_info,
    read_weights_info,
    save_encoder,
    save_weights,
)

SMALL = pico(classes=LANDSAT.count, width=8, depths=(1, 1, 1, 1))
OWN = ClassScheme("my own", (LandCover("field, ploughed", (1, 2, 3)), LandCover("löss", (4, 5, 6))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound weights file."""
    path = tmp_path / "small.safetensors"
    save_weights(path, build(SMALL, seed=0), SMALL, LANDSAT, tile=416, trained="not at all")
    return path


CONFIGS = [
    (SMALL, LANDSAT),
    (replace(SMALL, classes=1), BINARY),
    (replace(SMALL, classes=3, fft=False, normalisation=(Normalisation((1, 2, 3), (4, 5, 6)),) * 2), OWN),
]


@pytest.mark.parametrize(("config", "classes"), CONFIGS, ids=lambda value: getattr(value, "name", ""))
def test_what_was_saved_comes_back(tmp_path: Path, config: MambaFCSConfig, classes: ClassScheme) -> None:
    model = build(config, seed=0)
    written = save_weights(tmp_path / "x.safetensors", model, config, classes, tile=256, trained="by nobody")
    loaded = load_weights(tmp_path / "x.safetensors")
    assert loaded.info == written == read_weights_info(tmp_path / "x.safetensors")
    assert loaded.info == WeightsInfo(config, classes, 256, "by nobody", written.sha256)
    assert loaded.info.architecture == config.architecture
    assert loaded.info.mean_colours == (config.normalisation[0].mean, config.normalisation[1].mean)
    assert not loaded.model.training
    assert_same(loaded.model.state_dict(), model.state_dict())


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_half_precision_files_are_half_as_large_and_load_as_float32(tmp_path: Path, path: Path) -> None:
    model = build(SMALL, seed=0)
    halved = tmp_path / "half.safetensors"
    save_weights(halved, model, SMALL, LANDSAT, 416, "", dtype=torch.float16)
    assert halved.stat().st_size < 0.6 * path.stat().st_size
    rounded = {name: t.half().float() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    assert_same(load_weights(halved).model.state_dict(), rounded)


def test_a_weights_file_may_be_read_by_whom_other_new_files_may(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path: Path, path: Path) -> None:
    save_weights(tmp_path / "again.safetensors", build(SMALL, seed=0), SMALL, LANDSAT, 416, "not at all")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_a_mamba_fcs_is_described_as_it_was_when_there_was_no_other_model(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["geofcs"])
    assert set(header) == {"format", "architecture", "config", "classes", "tile", "trained", "sha256"}
    assert (header["format"], header["architecture"]) == (1, "mamba-fcs")
    keys = {"encoder", "classes", "decoder_drop_path", "change_guided_attention", "fft", "normalisation"}
    assert set(header["config"]) == keys


def test_other_tensors_have_another_hash(tmp_path: Path, path: Path) -> None:
    other = save_weights(tmp_path / "other.safetensors", build(SMALL, seed=1), SMALL, LANDSAT, 416, "not at all")
    assert other.sha256 != read_weights_info(path).sha256


def test_the_header_alone_tells_what_a_file_is(path: Path) -> None:
    length = int.from_bytes(path.read_bytes()[:8], "little")
    with path.open("r+b") as file:  # every tensor becomes 0
        file.seek(8 + length)
        file.write(bytes(path.stat().st_size - 8 - length))
    assert read_weights_info(path).tile == 416
    with pytest.raises(InputError, match="damaged"):
        load_weights(path)


def test_one_changed_bit_is_noticed(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0]
        file.seek(-1000, 2)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(InputError, match=r"small\.safetensors: is damaged"):
        load_weights(path)


def test_an_encoder_is_something_to_train_from_not_to_detect_with(tmp_path: Path, path: Path) -> None:
    encoder, config = build(SMALL, seed=0).encoder, SMALL.encoder
    written = save_encoder(tmp_path / "encoder.safetensors", encoder, config, "by VMamba")
    assert read_info(tmp_path / "encoder.safetensors") == written
    assert_same(load_encoder(tmp_path / "encoder.safetensors").state_dict(), encoder.state_dict())
    with pytest.raises(InputError, match="an encoder only"):
        load_weights(tmp_path / "encoder.safetensors")
    with pytest.raises(InputError, match="a whole model"):
        load_encoder(path)


def rewritten(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], object]) -> None:
    """Change a file's tensors and description in place, behind geofcs' back."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["geofcs"])
    change(tensors, header)
    save_file(tensors, path, {"geofcs": json.dumps(header)})


HARMS: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], object]] = {
    "newer geofcs": lambda _, header: header.update(format=2),
    "another architecture, changeformer": lambda _, header: header.update(architecture="changeformer"),
    "cannot be understood": lambda _, header: header.pop("tile"),
    "understood .*surprise": lambda _, header: header["config"].update(surprise=1),
    "understood .*5 classes are named, the model has 7": lambda _, header: header["config"].update(classes=7),
    "depths": lambda _, header: header["config"]["encoder"].update(depths=[1, 1]),
    "damaged": lambda tensors, _: tensors.pop("encoder.norms.0.weight"),
}


@pytest.mark.parametrize("said", HARMS)
def test_a_file_that_does_not_fit_says_why(path: Path, said: str) -> None:
    rewritten(path, HARMS[said])
    with pytest.raises(InputError, match=said):
        load_weights(path)


def test_tensors_of_another_config_are_all_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofcs.model.weights._content_hash", lambda _: read_weights_info(path).sha256)

    def change(tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
        del tensors["encoder.norms.0.weight"], tensors["encoder.norms.1.bias"]
        tensors["surplus"] = torch.zeros(1)
        tensors["change_head.around.bias"] = torch.zeros(3)

    rewritten(path, change)
    with pytest.raises(InputError) as failure:
        load_weights(path)
    message = str(failure.value)
    assert "2 missing: encoder.norms.0.weight, encoder.norms.1.bias" in message
    assert "1 unexpected: surplus" in message
    assert "1 of another shape: change_head.around.bias is (3,) instead of (8,)" in message


def test_files_that_are_no_weights_say_so(tmp_path: Path, path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "short.safetensors").write_bytes(path.read_bytes()[:-100])
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    said = {"missing": "no such file", "text": "not a safetensors", "empty": "not a safetensors"}
    said |= {"short": "cut short", "foreign": "not one that geofcs wrote"}
    for name, words in said.items():
        with pytest.raises(InputError, match=rf"{name}\.safetensors: .*{words}"):
            read_weights_info(tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match=str(tmp_path)):
        read_weights_info(tmp_path)


def test_classes_must_be_the_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="second has 7 classes, the model 5"):
        save_weights(tmp_path / "x.safetensors", build(SMALL, 0), SMALL, SECOND, 512, "")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, path: Path) -> None:
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(tmp_path / "folder", build(SMALL, 0), SMALL, LANDSAT, 416, "")
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(tmp_path / "nowhere" / "x.safetensors", build(SMALL, 0), SMALL, LANDSAT, 416, "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "small.safetensors"]
    assert path.read_bytes() == before


def test_an_encoder_of_odd_width_cannot_be_built() -> None:
    with pytest.raises(InputError, match="even"):
        Encoder(EncoderConfig(7, (1, 1, 1, 1)))
