"""Import of published checkpoints, on small files with the published names."""

from __future__ import annotations

import os
import pickle
import re
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geofcs.classes import BINARY, LANDSAT, SECOND
from geofcs.errors import InputError, UsageError
from geofcs.model.build import build, model_of, without_memory
from geofcs.model.interface import ChangeModel
from geofcs.model.names import published_name, published_shapes
from geofcs.model.published import import_published, published_model, read_checkpoint
from geofcs.model.sizes import ENCODERS, mamba_fcs, pico
from geofcs.model.weights import EncoderInfo, WeightsInfo, load_encoder, load_weights
from tests.model.conformance import manifest

SMALL = pico(classes=LANDSAT.count, width=8, depths=(1, 2, 1, 1))

Tensors = dict[str, Tensor]


def published(model: ChangeModel) -> Tensors:
    """A model's tensors as its authors would have stored them, dead ones included."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        shape = published_shapes(name, tuple(tensor.shape))[0]
        tensors[published_name(name, model.config.architecture)] = tensor.reshape(shape)
    return tensors | {"decoder_bcd.fuse_layer_1.cross_attn.qkv.weight": torch.zeros(3, 3)}


@pytest.fixture(scope="module")
def model() -> ChangeModel:
    return build(SMALL, seed=0)


@pytest.mark.parametrize(("name", "classes"), [("second", 7), ("landsat", 5)])
def test_our_names_and_shapes_give_the_published_manifest(name: str, classes: int) -> None:
    released = {key: shape for key, shape in manifest(f"mambafcs_base_{name}").items() if ".cross_attn." not in key}
    ours = without_memory(model_of, mamba_fcs("base", classes)).state_dict()
    assert {published_name(key, "mamba-fcs") for key in ours} == released.keys()
    for key, tensor in ours.items():
        assert released[published_name(key, "mamba-fcs")] == published_shapes(key, tuple(tensor.shape))[0]


def four_dimensional(tensors: Tensors) -> Tensors:
    """Linear layers stored as 1x1 convolutions."""
    linear = re.compile(r"(in_proj|out_proj|fc1|fc2|fc\.[02]|excitation\.[02])\.weight$")
    return {name: t[:, :, None, None] if linear.search(name) else t for name, t in tensors.items()}


WRAPPINGS: dict[str, Callable[[Tensors], Any]] = {
    "bare": lambda tensors: tensors,
    "model": lambda tensors: {"model": tensors, "epoch": 3, "best_score": 0.5},
    "state_dict": lambda tensors: {"state_dict": tensors},
    "module.": lambda tensors: {f"module.{name}": t for name, t in tensors.items()},
    "module.model.": lambda tensors: {f"module.model.{name}": t for name, t in tensors.items()},
    "1x1 convolutions": four_dimensional,
    "half": lambda tensors: {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_checkpoint_is_understood_however_it_is_wrapped(tmp_path: Path, model: ChangeModel, wrapping: str) -> None:
    path = tmp_path / "x.pth"
    torch.save(WRAPPINGS[wrapping](published(model)), path)
    found = published_model(path, read_checkpoint(path), LANDSAT)[0].state_dict()
    for name, tensor in model.state_dict().items():
        expected = tensor.half().float() if wrapping == "half" and tensor.is_floating_point() else tensor
        assert torch.equal(found[name], expected)


def test_what_is_imported_says_where_it_comes_from(tmp_path: Path, model: ChangeModel) -> None:
    torch.save(published(model), tmp_path / "x.pth")
    info = import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", LANDSAT)
    assert load_weights(tmp_path / "x.safetensors").info == info
    assert info.config == replace(SMALL, encoder=replace(SMALL.encoder, drop_path=0.2))
    assert isinstance(info, WeightsInfo)
    assert (info.tile, info.classes) == (416, LANDSAT)
    assert "x.pth" in info.trained


def test_the_old_file_format_of_torch_is_read_too(tmp_path: Path, model: ChangeModel) -> None:
    torch.save(published(model), tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "x.pth").keys() == published(model).keys()


def test_the_binary_variant_is_imported(tmp_path: Path) -> None:
    model = build(replace(SMALL, classes=1), seed=0)
    tensors = {
        name.replace("decoder_bcd.", "decoder.").replace("main_clf_cd.", "main_clf."): tensor
        for name, tensor in published(model).items()
    }
    torch.save(tensors, tmp_path / "x.pth")
    import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", BINARY)
    loaded = load_weights(tmp_path / "x.safetensors").model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("layout", [dict, four_dimensional])
def test_a_vmamba_file_becomes_an_encoder_with_fresh_output_norms(
    tmp_path: Path, model: ChangeModel, layout: Callable[[Tensors], Tensors]
) -> None:
    tensors = {
        name.removeprefix("encoder."): tensor
        for name, tensor in layout(published(model)).items()
        if name.startswith("encoder.") and "outnorm" not in name
    }
    tensors |= {"classifier.norm.weight": torch.zeros(64), "classifier.head.weight": torch.zeros(1000, 64)}
    torch.save({"model": tensors}, tmp_path / "vssm.pth")
    info = import_published(tmp_path / "vssm.pth", tmp_path / "x.safetensors", None)
    assert isinstance(info, EncoderInfo)
    loaded = load_encoder(tmp_path / "x.safetensors").state_dict()
    for name, tensor in model.encoder.state_dict().items():
        expected = torch.full_like(tensor, float(name.endswith("weight"))) if name.startswith("norms") else tensor
        assert torch.equal(loaded[name], expected), name


def test_settings_that_vmambas_training_saved_beside_the_tensors_are_no_hindrance(
    tmp_path: Path, model: ChangeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {name.removeprefix("encoder."): each for name, each in published(model).items() if "encoder." in name}
    settings = type("CfgNode", (dict,), {"__module__": "yacs.config"})({"EPOCHS": 300})
    settings.__dict__["__immutable__"] = True
    content = {"model": tensors, "max_accuracy": 83.9, "optimizer": {"state": {0: torch.zeros(3)}}, "config": settings}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", types.SimpleNamespace())
        patch.setitem(sys.modules, "yacs.config", types.SimpleNamespace(CfgNode=type(settings)))
        torch.save(content, tmp_path / "vssm.pth")
    assert b"yacs.config" in (tmp_path / "vssm.pth").read_bytes()
    assert read_checkpoint(tmp_path / "vssm.pth").keys() == tensors.keys()


def test_published_encoders_are_recognised_with_their_stochastic_depth(tmp_path: Path) -> None:
    tensors = published(build(pico(2, width=96, depths=ENCODERS["small"].depths), seed=0))
    encoder = {name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")}
    torch.save({"model": {name: t for name, t in encoder.items() if "outnorm" not in name}}, tmp_path / "s.pth")
    assert import_published(tmp_path / "s.pth", tmp_path / "s.safetensors", None).config == ENCODERS["small"]


def harmed(tensors: Tensors) -> Tensors:
    tensors = dict(tensors)
    del tensors["encoder.outnorm2.bias"], tensors["aux_clf.branch5.0.weight"]
    tensors["decoder_T1.cross_attention.weight"] = torch.zeros(1)
    tensors["decoder_T2.down_sample_1.final_conv.1.bias"] = torch.zeros(3)
    tensors["encoder.layers.0.blocks.0.op.A_logs"] = torch.zeros(64, 16)
    return tensors


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path, model: ChangeModel) -> None:
    torch.save(harmed(published(model)), tmp_path / "x.pth")
    with pytest.raises(InputError) as failure:
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", LANDSAT)
    message = str(failure.value)
    assert "2 missing: encoder.outnorm2.bias, aux_clf.branch5.0.weight" in message
    assert "1 unexpected: decoder_T1.cross_attention.weight" in message
    assert "decoder_T2.down_sample_1.final_conv.1.bias is (3,) instead of (32,)" in message
    assert "encoder.layers.0.blocks.0.op.A_logs is (64, 16) instead of (64, 1)" in message
    assert not (tmp_path / "x.safetensors").exists()


def test_classes_are_checked(tmp_path: Path, model: ChangeModel) -> None:
    torch.save(published(model), tmp_path / "x.pth")
    with pytest.raises(InputError, match="5 classes, but second has 7"):
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", SECOND)
    with pytest.raises(UsageError, match="--classes"):
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", None)


class Malice:
    """What a pickle must never get to do."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


def whole_file(path: Path) -> bytes:
    torch.save({"a": torch.zeros(1000)}, path)
    return path.read_bytes()


ODD: dict[str, Callable[[Path], object]] = {
    "torch.save": lambda path: torch.save({"model": Malice(path.parent / "harm")}, path),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Malice(path.parent / "harm"))),
    "old format": lambda path: torch.save(Malice(path.parent / "harm"), path, _use_new_zipfile_serialization=False),
    "text": lambda path: path.write_text("not a checkpoint"),
    "empty": lambda path: path.write_bytes(b""),
    "a list": lambda path: torch.save([torch.zeros(3)], path),
    "numbers": lambda path: torch.save({"a": 1, "b": torch.zeros(1)}, path),
    "sparse": lambda path: torch.save({"a": torch.zeros(3, 3).to_sparse()}, path),
    "unrelated": lambda path: torch.save({"conv.weight": torch.zeros(3)}, path),
    "no size": lambda path: torch.save({"patch_embed.5.weight": torch.zeros(())}, path),
    "endless": lambda path: torch.save(
        {"patch_embed.5.weight": torch.zeros(8), "layers.0.blocks.99999999.norm.weight": torch.zeros(8)}, path
    ),
    "cut short": lambda path: path.write_bytes(whole_file(path)[:2000]),
}


@pytest.mark.parametrize("kind", ODD)
def test_whatever_is_no_checkpoint_is_refused_in_one_line_and_runs_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.pth"
    ODD[kind](path)
    with pytest.raises(InputError) as failure:
        import_published(path, tmp_path / "x.safetensors", SECOND)
    assert str(failure.value).startswith(str(path))
    assert "\n" not in str(failure.value)
    assert [p.name for p in tmp_path.iterdir()] == ["odd.pth"]


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_published(tmp_path / "none.pth", tmp_path / "x.safetensors", SECOND)
    with pytest.raises(InputError, match="cannot be read"):
        import_published(tmp_path, tmp_path / "x.safetensors", SECOND)
