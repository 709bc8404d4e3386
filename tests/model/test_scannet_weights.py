"""SCanNet's released files and ImageNet's ResNets: in, with the classes in our order, and out again as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from geofcs.classes import LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError, OutputError, UsageError
from geofcs.model.build import build
from geofcs.model.config import STATISTICS, Normalisation, ResNetConfig, SCanNetConfig
from geofcs.model.encoder import Normalise
from geofcs.model.published import export_published, import_published, published_model, published_tensors
from geofcs.model.released import classes_of_authors
from geofcs.model.sizes import scannet
from geofcs.model.weights import EncoderInfo, WeightsInfo, load_encoder
from geofcs.training.config import ModelConfig, read_config, recipe_file
from geofcs.training.start import starting_model
from tests.model.conformance import assert_close, case, manifest, published_weight
from tests.model.test_scannet import images_of

ENCODER = ResNetConfig(8, (1, 2, 1, 1))
COLOURS = {
    1: (0, 0, 255), 2: (128, 128, 128), 3: (0, 128, 0), 4: (0, 255, 0), 5: (128, 0, 0), 6: (255, 0, 0)
}  # fmt: skip
"""Of SECOND's classes, by SCanNet's ids."""


def small(classes: ClassScheme) -> SCanNetConfig:
    statistics = STATISTICS[classes.name]
    return SCanNetConfig(ENCODER, classes.count, compare_depth=2, depth=1, normalisation=statistics)


def as_released(classes: ClassScheme) -> dict[str, Tensor]:
    """The tensors of a small model as its authors would have stored it."""
    return published_tensors(build(small(classes), seed=5), classes)


def test_our_classes_have_the_colours_of_those_that_they_are_taken_from() -> None:
    for number, theirs in enumerate(classes_of_authors("scannet", SECOND)[1:], 1):
        assert SECOND.land_covers[number - 1].colour == COLOURS[theirs]
    assert classes_of_authors("scannet", LANDSAT) == (0, 1, 2, 3, 4)
    assert classes_of_authors("mamba-fcs", SECOND) == (0, 1, 2, 3, 4, 5, 6)


def test_the_released_file_gives_the_published_numbers_with_its_classes_in_our_order() -> None:
    tensors = {name: published_weight(name, shape) for name, shape in manifest("scannet_second").items()}
    model, config = published_model(Path("scannet.pth"), tensors, SECOND)
    assert (config.encoder, config.normalisation) == (scannet("resnet34", 7).encoder, STATISTICS["second"])
    model.normalise = Normalise((Normalisation((0, 0, 0), (1, 1, 1)),) * 2)
    with torch.inference_mode():
        logits = model(*images_of("second_125"))
    expected, order = case("model_scannet_second_125"), list(classes_of_authors("scannet", SECOND))
    assert_close(logits.change[..., ::4, ::4], expected["change"], 1e-4)
    assert_close(logits.t1[..., ::4, ::4], expected["t1"][:, order], 1e-4)
    assert_close(logits.t2[..., ::4, ::4], expected["t2"][:, order], 1e-4)


@pytest.mark.parametrize("classes", [SECOND, LANDSAT], ids=lambda scheme: scheme.name)
def test_what_is_imported_and_exported_again_is_what_it_was(tmp_path: Path, classes: ClassScheme) -> None:
    torch.save(as_released(classes), tmp_path / "released.pth")
    info = import_published(tmp_path / "released.pth", tmp_path / "ours.safetensors", classes)
    assert isinstance(info, WeightsInfo)
    assert info.config == small(classes)
    assert info.tile == {"second": 512, "landsat": 416}[classes.name]
    export_published(tmp_path / "ours.safetensors", tmp_path / "again.pth")
    before, after = (torch.load(tmp_path / f"{name}.pth", weights_only=True) for name in ("released", "again"))
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def harmed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {**tensors, "Dec3.up.weight": torch.zeros(3)}
    del tensors["transformer.stage.0.attns.0.get_v.weight"]
    tensors["Dec1.up.bias"] = torch.zeros(7)
    return tensors


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    torch.save(harmed(as_released(SECOND)), tmp_path / "x.pth")
    with pytest.raises(InputError) as caught:
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", SECOND)
    assert "1 missing: transformer.stage.0.attns.0.get_v.weight" in str(caught.value)
    assert "1 unexpected: Dec3.up.weight" in str(caught.value)
    assert "Dec1.up.bias is (7,) instead of (16,)" in str(caught.value)


def test_classes_are_asked_for_and_checked(tmp_path: Path) -> None:
    torch.save(as_released(SECOND), tmp_path / "x.pth")
    with pytest.raises(UsageError, match="--classes"):
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", None)
    with pytest.raises(InputError, match="7 classes, but landsat has 5"):
        import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", LANDSAT)


def test_where_nothing_can_be_written_the_export_says_so(tmp_path: Path) -> None:
    torch.save(as_released(LANDSAT), tmp_path / "x.pth")
    import_published(tmp_path / "x.pth", tmp_path / "x.safetensors", LANDSAT)
    with pytest.raises(OutputError, match="cannot be written"):
        export_published(tmp_path / "x.safetensors", tmp_path / "nowhere" / "x.pth")


def classifier(counted: bool) -> dict[str, Tensor]:
    """A small ResNet as torchvision stores it; its older files do not count batch norms' batches."""
    encoder = build(small(SECOND), seed=7).encoder.state_dict()
    kept = {name: each for name, each in encoder.items() if counted or not name.endswith("num_batches_tracked")}
    return kept | {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("counted", [True, False])
def test_a_resnet_in_torchvisions_layout_becomes_an_encoder(tmp_path: Path, counted: bool) -> None:
    torch.save(classifier(counted), tmp_path / "resnet.pth")
    info = import_published(tmp_path / "resnet.pth", tmp_path / "x.safetensors", None)
    assert isinstance(info, EncoderInfo)
    assert (info.architecture, info.config) == ("resnet-encoder", ENCODER)
    loaded, expected = load_encoder(tmp_path / "x.safetensors").state_dict(), classifier(counted=True)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.items())


def model_config(weights: Path, **changes: Any) -> ModelConfig:
    tiny = {"size": "small", "width": 8, "depths": (1, 2, 1, 1), "weights": weights, **changes}
    return read_config(recipe_file("second", None, "scannet")).model.model_copy(update=tiny)


@pytest.mark.parametrize("converted", [True, False])
def test_training_starts_from_imagenets_weights_as_they_are_or_converted(tmp_path: Path, converted: bool) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(classifier(counted=False), path)
    if converted:
        import_published(path, tmp_path / "resnet.safetensors", None)
        path = tmp_path / "resnet.safetensors"
    for size in ("small", "weights"):
        start = starting_model(model_config(path, size=size), SECOND, 1)
        found = start.model.encoder.state_dict()
        assert all(torch.equal(found[n], each) for n, each in classifier(counted=True).items() if n in found)
        assert start.said == f"the encoder is that of {path.name}, all else is fresh"
        assert start.model.config.normalisation == STATISTICS["second"]


def test_from_a_model_of_other_classes_all_is_taken_but_the_heads(tmp_path: Path) -> None:
    torch.save(as_released(LANDSAT), tmp_path / "x.pth")
    start = starting_model(model_config(tmp_path / "x.pth", size="weights"), SECOND, 1)
    assert start.said.endswith("but for t1_head, t2_head: fresh, for the classes of second instead of landsat")
    source = build(small(LANDSAT), seed=5)
    assert torch.equal(
        start.model.get_parameter("change_head.logit.bias"), source.get_parameter("change_head.logit.bias")
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "mamba-fcs", "size": "pico"}, "has a resnet-encoder, the config's model a vmamba-encoder"),
        ({"architecture": "mamba-fcs", "size": "weights"}, "resnet-encoder"),
        ({"width": 16}, r"ResNet, width 8.*width 16.*model\.size=weights"),
    ],
)
def test_weights_of_another_encoder_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    torch.save(classifier(counted=True), tmp_path / "resnet.pth")
    with pytest.raises(InputError, match=said):
        starting_model(model_config(tmp_path / "resnet.pth", **changes), SECOND, 1)
