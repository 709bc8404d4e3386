"""ChangeMamba: released checkpoints, under both sets of names, give published numbers; relations relate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geofcs.classes import BINARY, LANDSAT, SECOND
from geofcs.errors import InputError
from geofcs.model.build import build, model_of, parameter_count, without_memory
from geofcs.model.changemamba import ChangeMamba, DateDecoder, RelationDecoder
from geofcs.model.config import BlockConfig, ChangeMambaConfig, EncoderConfig, Normalisation
from geofcs.model.encoder import Normalise
from geofcs.model.fusion import ResidualBlock
from geofcs.model.interface import ChangeModel, Scores, scores_of
from geofcs.model.names import published_name, published_shapes, released_name
from geofcs.model.published import import_published, published_model, read_checkpoint
from geofcs.model.relations import DateRelations, interleaved, side_by_side, stacked
from geofcs.model.sizes import changemamba
from geofcs.model.weights import WeightsInfo, load_weights, save_weights
from tests.model import fill
from tests.model.conformance import (
    DATA,
    assert_close,
    case,
    drawn,
    fill_block,
    manifest,
    published_weight,
    published_weights,
)

SMALL = ChangeMambaConfig(EncoderConfig(8, (1, 1, 1, 1)), classes=5, decoder_width=16)
BLOCK = BlockConfig(width=32, scan_width=64, hidden=128, drop_path=0.1)
PAIRS: list[tuple[str, str]] = json.loads((DATA / "changemamba_names.json").read_text(encoding="utf-8"))
"""Every tensor's name in released checkpoints and in today's code."""


@pytest.mark.parametrize(
    ("name", "size", "classes", "parameters"),
    [("base_second", "base", 7, 97_034_889), ("base_landsat", "base", 5, None), ("tiny_second", "tiny", 7, 37_125_641)],
)
def test_our_names_and_shapes_give_the_released_manifest(
    name: str, size: str, classes: int, parameters: int | None
) -> None:
    config = changemamba(size, classes)
    ours = without_memory(model_of, config).state_dict()
    found = {
        published_name(key, "changemamba"): published_shapes(key, tuple(tensor.shape))[0]
        for key, tensor in ours.items()
    }
    assert found == manifest(f"changemamba_{name}")
    assert parameters in (None, parameter_count(config))


def test_every_name_of_todays_code_is_known_and_released_names_stay_as_they_are() -> None:
    assert [released_name(today) for _, today in PAIRS] == [released for released, _ in PAIRS]
    assert [released_name(released) for released, _ in PAIRS] == [released for released, _ in PAIRS]


def released(name: str) -> dict[str, Tensor]:
    """The tensors of a released checkpoint with conformance values."""
    return published_weights(f"changemamba_{name}")


def assert_published_numbers(model: ChangeModel, name: str) -> None:
    """The model's features, decoded maps and logits on the inputs of a case are the published ones."""
    expected = case(f"model_changemamba_{name}")
    batch, bands, height, width = (int(n) for n in expected["shape"])
    images = [
        torch.from_numpy(fill.image(f"changemamba_{name}/{date}", (batch, bands, height, width)))
        for date in ("t1", "t2")
    ]
    model.normalise = Normalise((Normalisation((0, 0, 0), (1, 1, 1)),) * 2)
    seen: dict[str, Any] = {}
    for part in ("encoder", "change_decoder", "t1_decoder", "t2_decoder"):
        keep_output(model.get_submodule(part), part, seen)
    with torch.inference_mode():
        logits = model(*images)
    for level, feature in enumerate(seen["encoder"]):
        assert_close(feature[:batch, :: max(1, feature.shape[1] // 16), ::2, ::2], expected[f"feature{level}"], 1e-4)
    decoded = {"change_decoder": "decoder_bcd", "t1_decoder": "decoder_T1", "t2_decoder": "decoder_T2"}
    for ours, published in decoded.items():
        assert_close(seen[ours][:, ::8, ::2, ::2], expected[published], 1e-4)
    for key, found in logits._asdict().items():
        assert found.shape[-2:] == (height, width)
        assert_close(found[..., ::4, ::4], expected[key], 1e-4)


def keep_output(module: nn.Module, name: str, seen: dict[str, Any]) -> None:
    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen[name] = output

    module.register_forward_hook(keep)


@pytest.fixture
def large_files() -> Iterator[Path]:
    """A folder that is gone after the test: a checkpoint has 400 MB, and pytest keeps its own folders."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_file_of_todays_trainer_imported_and_stored_gives_the_published_numbers(large_files: Path) -> None:
    tensors, today = released("base_second"), dict(PAIRS)
    content = {"model": {f"module.{today[name]}": each for name, each in tensors.items()}, "iteration": 50_000}
    torch.save(content | {"optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}}, large_files / "today.pth")
    del tensors, content
    info = import_published(large_files / "today.pth", large_files / "x.safetensors", SECOND)
    assert isinstance(info, WeightsInfo)
    assert (info.architecture, info.tile) == ("changemamba", 512)
    assert info.config == changemamba("base", 7)
    assert "by the authors of ChangeMamba (today.pth)" in info.trained
    assert_published_numbers(load_weights(large_files / "x.safetensors").model, "second_256")


def test_the_released_names_give_the_published_numbers_for_other_classes_and_sizes() -> None:
    model, config = published_model(Path("x.pth"), released("base_landsat"), LANDSAT)
    assert config == changemamba("base", 5)
    assert_published_numbers(model, "landsat_208x176")


def test_the_released_tiny_model_is_recognised_by_its_depths() -> None:
    _, config = published_model(Path("x.pth"), released("tiny_second"), SECOND)
    assert config == changemamba("tiny", 7)
    assert config.encoder.depths == (2, 2, 4, 2)


PUBLISHED_RELATIONS = {"stacked": ("cat", 1), "interleaved": ("interleave", 2), "side_by_side": ("split", 3)}
"""Word and number of each relation."""


@pytest.mark.parametrize("name", PUBLISHED_RELATIONS)
def test_a_relation_computes_what_the_published_one_does(name: str) -> None:
    word, number = PUBLISHED_RELATIONS[name]
    key = f"cm_relation_{word}_24_32"
    expected, level = case(f"block_{key}"), DateRelations(24, BLOCK).eval()
    ours, before = f"change_decoder.levels.0.{name}.", f"decoder_bcd.st_block_1{number}."
    fill_block(level.get_submodule(name), key, str(expected["keys"]), ours, before, "changemamba")
    both = torch.cat([drawn(f"{key}/x{date}", tuple(expected["shapes"][date])) for date in (0, 1)])
    together, *of_dates = (each.permute(0, 3, 1, 2) for each in level.maps(both.permute(0, 2, 3, 1)))
    if name == "stacked":
        assert_close(together, expected["out"], 1e-4)
    else:
        first, second = of_dates[:2] if name == "interleaved" else of_dates[2:]
        assert_close(first, expected["out_pre"], 1e-4)
        assert_close(second, expected["out_post"], 1e-4)


def level_name(ours: str) -> str:
    """What the case of one level calls a tensor of ours: the published name without the number of the level."""
    published = published_name(f"change_decoder.levels.0.{ours}", "changemamba").removeprefix("decoder_bcd.")
    return published.replace("st_block_1", "st_block_").replace("fuse_layer_1", "fuse_layer")


def test_a_level_and_its_gradients_are_the_published_ones() -> None:
    key, expected = "cm_level_24_32", case("block_cm_level_24_32")
    shapes, level = json.loads(str(expected["keys"])), DateRelations(24, BLOCK).eval().double()
    state = {
        name: published_weight(f"{key}.{level_name(name)}", shapes.pop(level_name(name))).reshape(tensor.shape)
        for name, tensor in level.state_dict().items()
    }
    assert not shapes
    level.load_state_dict(state)
    dates = [drawn(f"{key}/x{date}", tuple(expected["shapes"][date])).double().requires_grad_() for date in (0, 1)]
    out = level(torch.cat(dates))
    assert_close(out, expected["out"], 1e-7)
    out.backward(drawn(f"{key}/grad_out", tuple(out.shape)).double())
    found = {f"grad_x{date}": x.grad for date, x in enumerate(dates)}
    found |= {f"grad/{level_name(name)}": parameter.grad for name, parameter in level.named_parameters()}
    wanted = {name: numbers for name, numbers in expected.items() if name.startswith("grad")}
    assert wanted.keys() <= found.keys()
    for name, numbers in wanted.items():
        gradient = found[name]
        assert gradient is not None
        assert_close(gradient, numbers, 1e-7)


def test_the_residual_block_without_excitation_is_the_published_one() -> None:
    expected = case("block_cm_resblock_32")
    block = ResidualBlock(32, excited=False).eval()
    fill_block(block, "cm_resblock_32", str(expected["keys"]), architecture="changemamba")
    assert_close(block(drawn("cm_resblock_32/x0", tuple(expected["shapes"][0]))), expected["out"], 1e-4)


def decoder(kind: type[RelationDecoder] | type[DateDecoder], ours: str) -> nn.Module:
    """A decoder of the Base model with conformance weights, by the name that it has in the model."""
    part = kind(changemamba("base", 7)).eval()
    state = {}
    for name, tensor in part.state_dict().items():
        shape = published_shapes(name, tuple(tensor.shape))[0]
        state[name] = published_weight(published_name(f"{ours}.{name}", "changemamba"), shape).reshape(tensor.shape)
    part.load_state_dict(state)
    return part


def decoder_inputs(which: str, sizes: Any) -> list[Tensor]:
    widths = (128, 256, 512, 1024)
    return [
        drawn(f"cm_decoder/{which}{level}", (1, width, *map(int, size)))
        for level, (width, size) in enumerate(zip(widths, sizes, strict=True))
    ]


def test_the_change_decoder_gives_the_published_maps_at_every_level_and_odd_sizes() -> None:
    expected = case("block_cm_change_decoder")
    part, seen = decoder(RelationDecoder, "change_decoder"), dict[str, Any]()
    for level in range(4):
        for relation, (word, _) in PUBLISHED_RELATIONS.items():
            keep_output(part.get_submodule(f"levels.{level}.{relation}.block"), f"level{level + 1}_{word}", seen)
        keep_output(part.get_submodule(f"levels.{level}"), f"level{level + 1}_fused", seen)
    for level in range(3):
        keep_output(part.get_submodule(f"ladder.smoothings.{level}"), f"level{level + 1}_smooth", seen)
    dates = [decoder_inputs(which, expected["sizes"]) for which in ("pre", "post")]
    with torch.inference_mode():
        seen["out"] = part([torch.cat(maps) for maps in zip(*dates, strict=True)])
    assert seen.keys() | {"sizes"} == expected.keys()
    for name, found in seen.items():
        channels_first = found.permute(0, 3, 1, 2) if name.endswith(("cat", "interleave", "split")) else found
        assert_close(channels_first[:, ::8], expected[name], 1e-4)


def test_the_land_cover_decoder_gives_the_published_maps_at_every_level_and_odd_sizes() -> None:
    expected = case("block_cm_semantic_decoder")
    part, seen = decoder(DateDecoder, "t1_decoder"), dict[str, Any]()
    for level in range(4):
        keep_output(part.get_submodule(f"ladder.blocks.{level}"), f"level{level + 1}_block", seen)
    for level in range(3):
        keep_output(part.get_submodule(f"ladder.smoothings.{level}"), f"smooth{level + 1}", seen)
    keep_output(part.get_submodule("finish"), "smooth0", seen)
    with torch.inference_mode():
        seen["out"] = part(decoder_inputs("pre", expected["sizes"]))
    assert seen.keys() | {"sizes"} == expected.keys()
    for name, found in seen.items():
        channels_first = found.permute(0, 3, 1, 2) if name.endswith("block") else found
        assert_close(channels_first[:, ::8], expected[name], 1e-4)


def test_rearranging_keeps_every_pixel_and_its_date() -> None:
    a, b = torch.arange(24.0).view(1, 2, 3, 4), 100 + torch.arange(24.0).view(1, 2, 3, 4)
    both = torch.cat([a, b])
    assert torch.equal(stacked(both), torch.cat([a, b], 3))
    assert torch.equal(interleaved(both)[:, :, 0::2], a)
    assert torch.equal(interleaved(both)[:, :, 1::2], b)
    assert torch.equal(side_by_side(both)[:, :, :3], a)
    assert torch.equal(side_by_side(both)[:, :, 3:], b)


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    """Two batches of random images, RGB 0-255."""
    generator = torch.Generator().manual_seed(1)
    t1, t2 = (255 * torch.rand(*shape, generator=generator) for _ in range(2))
    return t1, t2


def scores(model: ChangeModel, t1: Tensor, t2: Tensor) -> Scores:
    with torch.inference_mode():
        return scores_of(model.eval()(t1, t2))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 50), (61, 32), (40, 97)])
def test_any_size_from_32_on_works(height: int, width: int) -> None:
    found = scores(build(SMALL, seed=0), *pair(2, 3, height, width))
    assert found.t1 is not None
    assert found.change.shape == (2, height, width)
    assert found.t1.shape == (2, 4, height, width)
    assert found.change.isfinite().all()


def test_one_batch_gives_what_its_samples_give_alone() -> None:
    model, (t1, t2) = build(SMALL, seed=0), pair(3, 3, 48, 40)
    together = scores(model, t1, t2)
    alone = [scores(model, t1[i : i + 1], t2[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together.change, torch.cat([s.change for s in alone]), rtol=1e-4, atol=1e-5)


def test_land_cover_at_a_date_follows_from_its_own_image_alone() -> None:
    model, (t1, t2) = build(SMALL, seed=0), pair(1, 3, 40, 48)
    with_other, with_itself = scores(model, t1, t2), scores(model, t1, t1)
    torch.testing.assert_close(with_other.t1, with_itself.t1)
    assert not torch.allclose(with_other.change, with_itself.change)


def test_the_binary_model_has_no_land_cover_and_its_weights_come_back(tmp_path: Path) -> None:
    config = ChangeMambaConfig(SMALL.encoder, 1, SMALL.decoder_width)
    model = build(config, seed=0)
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "change_decoder", "change_head"}
    written = save_weights(tmp_path / "x.safetensors", model, config, BINARY, 64, "not at all")
    loaded = load_weights(tmp_path / "x.safetensors")
    assert isinstance(loaded.model, ChangeMamba)
    assert loaded.info == written
    logits = loaded.model(*pair(1, 3, 32, 32))
    assert logits.t1 is None and logits.t2 is None


def test_every_parameter_gets_a_finite_gradient() -> None:
    model = build(SMALL, seed=0).train()
    torch.manual_seed(0)
    logits = model(*pair(2, 3, 48, 64))
    sum(layer.square().mean() for layer in logits).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_logits_are_float32_and_scores_hardly_differ(dtype: torch.dtype) -> None:
    model, images = build(SMALL, seed=0), pair(1, 3, 65, 48)
    exact = scores(model, *images)
    with torch.autocast("cpu", dtype), torch.inference_mode():
        logits = model(*images)
        rough = scores_of(logits)
    assert logits.change.dtype == torch.float32
    assert (rough.change - exact.change).abs().max() < 0.02


def test_a_checkpoint_with_a_tensor_too_few_or_too_many_is_refused_by_name(tmp_path: Path) -> None:
    model = build(SMALL, seed=0)
    tensors = {
        published_name(name, "changemamba"): each.reshape(published_shapes(name, tuple(each.shape))[0])
        for name, each in model.state_dict().items()
    }
    tensors["decoder_bcd.st_block_14.0.weight"] = tensors.pop("decoder_bcd.st_block_13.0.weight")
    torch.save(tensors, tmp_path / "x.pth")
    with pytest.raises(InputError) as failure:
        published_model(tmp_path / "x.pth", read_checkpoint(tmp_path / "x.pth"), LANDSAT)
    assert "1 missing: decoder_bcd.st_block_13.0.weight" in str(failure.value)
    assert "1 unexpected: decoder_bcd.st_block_14.0.weight" in str(failure.value)
