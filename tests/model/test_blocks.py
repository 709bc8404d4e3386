"""Each block of the model against the published numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from geofcs.model.config import BlockConfig
from geofcs.model.fusion import PyramidFusion, ResidualBlock, SpatioFrequencyFusion, guided
from geofcs.model.vss import SS2D, DropPath, VSSBlock
from tests.model.conformance import assert_close, case, drawn, fill_block

BLOCKS: dict[str, nn.Module] = {
    "fft_fusion_32": SpatioFrequencyFusion(32, fft=True),
    "fft_fusion_128": SpatioFrequencyFusion(128, fft=True),
    "pyramid_32_2": PyramidFusion(32, 2),
    "pyramid_32_16": PyramidFusion(32, 16),
    "pyramid_32_32": PyramidFusion(32, 32),
    "resblock_32": ResidualBlock(32, excited=True),
    "vssblock_32": VSSBlock(BlockConfig(width=32, scan_width=64, hidden=128, drop_path=0.5)),
}


def inputs_of(name: str, expected: dict[str, Any]) -> list[Tensor]:
    return [drawn(f"{name}/x{i}", tuple(shape)) for i, shape in enumerate(expected["shapes"])]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_computes_what_the_published_one_does(name: str) -> None:
    expected = case(f"block_{name}")
    block = BLOCKS[name].eval()
    fill_block(block, name, str(expected["keys"]))
    assert_close(block(*inputs_of(name, expected)), expected["out"], 1e-4)


@pytest.mark.parametrize("name", BLOCKS)
def test_memory_order_does_not_change_a_block(name: str) -> None:
    expected = case(f"block_{name}")
    block = BLOCKS[name].eval()
    fill_block(block, name, str(expected["keys"]))
    inputs = [x.contiguous(memory_format=torch.channels_last) for x in inputs_of(name, expected)]
    assert_close(block(*inputs), expected["out"], 1e-4)


def test_ss2d_and_its_gradients_are_the_published_ones() -> None:
    name, expected = "ss2d_24", case("block_ss2d_24")
    ss2d = SS2D(BlockConfig(width=24, scan_width=48, hidden=96, drop_path=0)).double()
    fill_block(ss2d, name, str(expected["keys"]), ours="scan.", published="op.")
    x = inputs_of(name, expected)[0].double().requires_grad_()
    out = ss2d(x)
    assert_close(out, expected["out"], 1e-6)
    out.backward(drawn(f"{name}/grad_out", tuple(out.shape)).double())
    assert x.grad is not None
    assert_close(x.grad, expected["grad_x"], 1e-6)
    ours = {"factors_weight": "x_proj_weight", "dt_weight": "dt_projs_weight", "dt_bias": "dt_projs_bias"}
    ours |= {"a_log": "A_logs", "skip": "Ds", "norm.weight": "out_norm.weight", "norm.bias": "out_norm.bias"}
    ours |= {"widen.weight": "in_proj.weight", "conv.weight": "conv2d.weight", "narrow.weight": "out_proj.weight"}
    for key, parameter in ss2d.named_parameters():
        assert parameter.grad is not None
        published = expected[f"grad/{ours[key]}"]
        assert_close(parameter.grad.reshape(published.shape), published, 1e-6)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    drop = DropPath(0.25).train()
    torch.manual_seed(0)
    kept = drop(torch.ones(4000, 2, 3))
    per_sample = kept[:, 0, 0]
    assert torch.equal(kept, per_sample[:, None, None].expand_as(kept))
    assert sorted(set(per_sample.tolist())) == pytest.approx([0, 4 / 3])
    assert per_sample.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(kept), kept)


def test_without_fft_only_values_and_difference_are_fused() -> None:
    fusion = SpatioFrequencyFusion(8, fft=False)
    assert fusion.reduce.conv.in_channels == 3 * 8
    assert fusion(torch.ones(1, 8, 5, 4), torch.zeros(1, 8, 5, 4)).shape == (1, 8, 5, 4)


def test_a_guide_switches_features_off_and_on() -> None:
    feature = torch.tensor([[[[3.0, 3.0]]]])
    assert torch.allclose(guided(feature, torch.tensor([[[[-50.0, 50.0]]]])), torch.tensor([[[[0.0, 3.0]]]]))
