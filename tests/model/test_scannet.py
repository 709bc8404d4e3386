"""SCanNet: the published numbers, block by block and whole, at sizes that the published code takes and others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geofcs.errors import InputError
from geofcs.model.build import build, without_memory
from geofcs.model.config import Normalisation, ResNetConfig, SCanNetConfig
from geofcs.model.cswin import CSWinBlock, ScanFormer, StripeAttention
from geofcs.model.encoder import Normalise
from geofcs.model.fusion import ConvNorm
from geofcs.model.interface import scores_of
from geofcs.model.names import published_name
from geofcs.model.resnet import ResNet, basic_blocks
from geofcs.model.scannet import SCanNet, UpDecoder, low_side, padded
from geofcs.model.sizes import scannet
from tests.model import fill
from tests.model.conformance import assert_close, case, drawn, fill_block, manifest, published_weight

SMALL = SCanNetConfig(ResNetConfig(8, (1, 1, 1, 1)), classes=5, compare_depth=1, depth=1)
PUBLISHED = {"second": scannet("resnet34", 7), "landsat": scannet("resnet34", 5)}


def small(seed: int = 0) -> SCanNet:
    torch.manual_seed(seed)
    return SCanNet(SMALL).eval()


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    """Two batches of random images, RGB 0-255."""
    generator = torch.Generator().manual_seed(1)
    t1, t2 = (255 * torch.rand(*shape, generator=generator) for _ in range(2))
    return t1, t2


@pytest.mark.parametrize("name", PUBLISHED)
def test_our_names_and_shapes_give_the_published_manifest(name: str) -> None:
    ours = without_memory(SCanNet, PUBLISHED[name]).state_dict()
    found = {published_name(key, "scannet"): tuple(tensor.shape) for key, tensor in ours.items()}
    assert found == manifest(f"scannet_{name}")


def filled(name: str) -> SCanNet:
    """The whole model with conformance weights, for images that are normalised already."""
    model = without_memory(SCanNet, PUBLISHED[name])
    weights = {
        key: published_weight(published_name(key, "scannet"), tuple(tensor.shape))
        for key, tensor in model.state_dict().items()
    }
    model.load_state_dict(weights, assign=True)
    model.normalise = Normalise((Normalisation((0, 0, 0), (1, 1, 1)),) * 2)
    return model.eval()


def images_of(name: str) -> list[Tensor]:
    batch, bands, height, width = (int(n) for n in case(f"model_scannet_{name}")["shape"])
    return [torch.from_numpy(fill.image(f"scannet_{name}/{t}", (batch, bands, height, width))) for t in ("t1", "t2")]


INSIDE = {
    "encoder": "low_t1",
    "shrink": "head_t1",
    "compare": "res_cd",
    "change_decoder": "dec_cd",
    "t1_decoder": "dec1",
}
INSIDE |= {"t2_decoder": "dec2", "transformer": "transformer"}


@pytest.mark.parametrize(
    ("weights", "name"), [("second", "second_256"), ("second", "second_125"), ("landsat", "landsat_208")]
)
def test_the_whole_model_gives_the_published_numbers(weights: str, name: str) -> None:
    expected, model = case(f"model_scannet_{name}"), filled(weights)
    seen: dict[str, Any] = {}
    for part in INSIDE:
        keep_first_output(model.get_submodule(part), part, seen)
    with torch.inference_mode():
        logits = model(*images_of(name))
    seen["encoder"] = seen["encoder"][1]
    assert_close(seen.pop("shrink").relu()[:, ::8], expected["head_t1"], 1e-4)
    assert_close(seen.pop("compare")[:, ::8], expected["res_cd"], 1e-4)
    for part, found in seen.items():
        every = 24 if part == "transformer" else 8
        assert_close(found[:, ::every, ::2, ::2], expected[INSIDE[part]], 1e-4)
    for key, found in logits._asdict().items():
        assert_close(found[..., ::4, ::4], expected[key], 1e-4)


def keep_first_output(module: nn.Module, name: str, seen: dict[str, Any]) -> None:
    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen.setdefault(name, output)

    module.register_forward_hook(keep)


BLOCKS: dict[str, tuple[nn.Module, str, str]] = {
    # a case: our block, and what comes before its names in a whole model, ours and published
    "sc_transformer_48_r13": (ScanFormer(48, 4, 2), "transformer.", "transformer."),
    "sc_decoder_32_16_24": (UpDecoder(32, 16, 16, 24), "t1_decoder.", "Dec1."),
    "sc_decoder_32_32_24_half": (UpDecoder(32, 32, 16, 24), "change_decoder.", "DecCD."),
    "sc_rescd_64_32": (basic_blocks(64, 32, 6), "compare.", "resCD."),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_computes_what_the_published_one_does(name: str) -> None:
    expected, (block, ours, published) = case(f"block_{name}"), BLOCKS[name]
    fill_block(block.eval(), name, str(expected["keys"]), ours, published, "scannet")
    inputs = [drawn(f"{name}/x{i}", tuple(shape)) for i, shape in enumerate(expected["shapes"])]
    assert_close(block(*inputs), expected["out"], 1e-4)


def test_the_encoder_gives_the_published_maps() -> None:
    name, expected = "sc_encoder", case("block_sc_encoder")
    parts = nn.ModuleDict({"encoder": ResNet(ResNetConfig()), "shrink": ConvNorm(512, 128, 1, bias=False)}).eval()
    fill_block(parts, name, str(expected["keys"]), published="FCN.", architecture="scannet")
    deep, low = parts["encoder"](drawn(f"{name}/x0", tuple(expected["shapes"][0])))
    assert_close(parts["shrink"](deep).relu()[:, ::4], expected["out"], 1e-4)
    assert_close(low[:, ::4], expected["low"], 1e-4)


def cswin(name: str, width: int) -> tuple[CSWinBlock, Tensor, dict[str, Any]]:
    """A block with the weights of a case, and its tokens (b, h w, c) as a map."""
    expected, block = case(f"block_{name}"), CSWinBlock(width, 4)
    fill_block(block, name, str(expected["keys"]), "transformer.blocks.0.", "transformer.stage.0.", "scannet")
    batch, positions, channels = (int(n) for n in expected["shapes"][0])
    side = int(positions**0.5)
    return block, torch.unflatten(drawn(f"{name}/x0", (batch, positions, channels)), 1, (side, side)), expected


def test_the_cswin_block_of_the_real_width_is_the_published_one() -> None:
    block, x, expected = cswin("sc_cswin_384_r9", 384)
    assert_close(block(x).flatten(1, 2), expected["out"], 1e-4)


def test_the_cswin_block_and_its_gradients_are_the_published_ones() -> None:
    block, x, expected = cswin("sc_cswin_48_r14", 48)
    x = x.double().requires_grad_()
    out = block.double()(x)
    assert_close(out.flatten(1, 2), expected["out"], 1e-9)
    out.backward(drawn("sc_cswin_48_r14/grad_out", expected["out"].shape).double().view_as(out))
    assert x.grad is not None
    assert_close(x.grad.flatten(1, 2), expected["grad_x"], 1e-9)
    for key, parameter in block.named_parameters():
        if not key.startswith("mlp."):
            name = published_name(f"transformer.blocks.0.{key}", "scannet").removeprefix("transformer.stage.0.")
            assert parameter.grad is not None
            assert_close(parameter.grad, expected[f"grad/{name}"], 1e-9)


def test_attention_along_rows_is_that_along_columns_of_the_map_turned() -> None:
    rows, columns = StripeAttention(8, 2, "rows"), StripeAttention(8, 2, "columns")
    columns.around.weight.data = rows.around.weight.data.transpose(2, 3)
    columns.around.bias = rows.around.bias
    q, k, v = torch.randn(3, 2, 5, 7, 8)
    found = columns(*(each.transpose(1, 2) for each in (q, k, v)))
    torch.testing.assert_close(found.transpose(1, 2), rows(q, k, v))


def test_a_stripe_sees_itself_alone() -> None:
    rows = StripeAttention(8, 2, "rows")
    q, k, v = torch.randn(3, 1, 4, 6, 8)
    before = rows(q, k, v)
    v[:, 2] += 1
    changed = (rows(q, k, v) != before).any(-1)[0]
    assert changed[2].all()
    assert not changed[[0, 1, 3]].any()


FAILING_SIDES = (505, 506, 507, 508)
"""Of the published code."""


def test_only_sides_on_which_the_published_code_fails_are_padded() -> None:
    for side in range(32, 640):
        seen = padded(torch.zeros(1, 1, side, 64)).shape[2]
        assert low_side(seen) % 2 == 0
        assert seen == (-(-side // 8) * 8 if low_side(side) % 2 else side)
    assert [padded(torch.zeros(1, 1, side, 64)).shape[2] for side in FAILING_SIDES] == [512] * 4


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 50), (61, 32), (40, 97), (68, 44)])
def test_any_size_from_32_on_works_square_or_not(height: int, width: int) -> None:
    with torch.inference_mode():
        logits = small()(*pair(2, 3, height, width))
    assert [tuple(each.shape) for each in logits if each is not None] == [
        (2, channels, height, width) for channels in (1, 5, 5)
    ]
    assert all(each.isfinite().all() for each in logits if each is not None)


def test_padding_repeats_the_last_rows_and_columns() -> None:
    model, (t1, t2) = small(), pair(1, 3, 50, 41)
    wider = [torch.nn.functional.pad(each, (0, 7, 0, 6), mode="replicate") for each in (t1, t2)]
    with torch.inference_mode():
        found, whole = model(t1, t2), model(*wider)
    torch.testing.assert_close(found.change, whole.change[..., :50, :41])


def test_one_batch_gives_what_its_samples_give_alone() -> None:
    model, (t1, t2) = small(), pair(3, 3, 48, 40)
    with torch.inference_mode():
        together = model(t1, t2)
        alone = [model(t1[i : i + 1], t2[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together.t1, torch.cat([each.t1 for each in alone]), rtol=1e-4, atol=1e-5)


def test_in_training_batch_norms_know_one_date_at_a_time() -> None:
    model, (t1, t2) = small().train(), pair(2, 3, 48, 40)
    seen: dict[str, Any] = {}
    keep_first_output(model.encoder, "before", seen)
    model(t1, t2)
    keep_first_output(model.encoder, "after", seen)
    model(t1, 3 * t2)
    torch.testing.assert_close(seen["after"][0], seen["before"][0])


def test_every_parameter_gets_a_finite_gradient_but_for_the_dead_taps() -> None:
    model = small().train()
    logits = model(*pair(2, 3, 50, 64))
    sum(layer.square().mean() for layer in logits).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    dead = model.get_parameter("transformer.blocks.0.rows.around.weight").grad
    assert dead is not None
    assert not dead[:, :, [0, 2]].any()
    assert dead[:, :, 1].any()


@pytest.mark.parametrize(
    ("change", "said"), [({"classes": 1}, "binary"), ({"depth": 0}, "one CSWin block"), ({"heads": 3}, "3 heads")]
)
def test_sizes_that_cannot_be_built_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(SMALL, **change)
    with pytest.raises(InputError, match="layers"):
        ResNetConfig(8, (1, 1, 0, 1))


def test_fresh_weights_follow_the_published_distributions() -> None:
    model = build(SCanNetConfig(ResNetConfig(32, (1, 1, 1, 1)), 7, compare_depth=1, depth=1), seed=0)

    def spread(name: str) -> float:
        return model.get_parameter(f"{name}.weight").std().item()

    assert spread("encoder.layer4.0.conv2") == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert spread("t1_decoder.join.conv") == pytest.approx((2 / (9 * 96)) ** 0.5, rel=0.02)
    assert spread("transformer.blocks.0.mlp.widen") == pytest.approx(0.02, rel=0.02)
    of_torch = 1 / (4 * 64) ** 0.5  # a transposed convolution's bound: its outputs times its four pixels
    assert 0.99 * of_torch < model.get_parameter("t1_decoder.up.weight").abs().max() <= of_torch
    for name in ("t2_head", "transformer.blocks.0.qkv", "change_head.hidden.conv"):
        assert not model.get_parameter(f"{name}.bias").any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_logits_are_float32_and_hardly_differ(dtype: torch.dtype) -> None:
    model, images = small(), pair(1, 3, 65, 48)
    with torch.inference_mode():
        exact = scores_of(model(*images))
        with torch.autocast("cpu", dtype):
            logits = model(*images)
    assert logits.change.dtype == logits.t1.dtype == torch.float32
    assert (scores_of(logits).change - exact.change).abs().max() < 0.02
