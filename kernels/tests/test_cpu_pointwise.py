"""The CPU library's pointwise operations against their definitions in geofcs, computed in float64."""

from __future__ import annotations

import geofcs_kernels
import pytest
import torch
from geofcs_kernels import cpu_pointwise
from torch import Tensor

pointwise = pytest.importorskip("geofcs.model.inference.pointwise", reason="the definitions are geofcs's")
pytestmark = pytest.mark.skipif(not geofcs_kernels.available("cpu").ok, reason=geofcs_kernels.available("cpu").reason)
DTYPES = {torch.float32: 3e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}
"""Differences allowed, relative to the largest number: a few roundings."""
SHAPES = [(1, 1, 1, 1), (2, 7, 5, 24), (1, 33, 9, 40), (2, 70, 3, 3), (1, 16, 16, 96)]


def _draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _agree(name: str, dtype: torch.dtype, *given: object) -> None:
    """The compiled function's result and the definition's, which reads the same numbers in float32."""
    expected = getattr(pointwise, name)(*(_wide(g) for g in given))
    got = getattr(cpu_pointwise, name)(*given)
    results = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    for value, wanted in results:
        assert value.shape == wanted.shape
        assert float((value.float() - wanted.float()).abs().max()) <= DTYPES[dtype] * (1 + float(wanted.abs().max()))


def _wide(given: object) -> object:
    if isinstance(given, Tensor):
        return given.float().clone()
    if isinstance(given, list):
        return [_wide(each) for each in given]
    return torch.float32 if isinstance(given, torch.dtype) else given


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["layer_norm", "layer_norm_gelu"])
@pytest.mark.parametrize("has_offset", [False, True])
def test_layer_norms_agree_with_their_definition(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, has_offset: bool
) -> None:
    channels = shape[-1]
    offset = _draw(channels, seed=3) if has_offset else None
    x = 10 + 3 * _draw(*shape)
    _agree(name, dtype, x.to(dtype), _draw(channels, seed=1), _draw(channels, seed=2), offset)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_layer_norm_of_a_sum_agrees_with_its_definition_and_leaves_the_sum(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    total, x, channels = 10 + 3 * _draw(*shape), _draw(*shape, dtype=dtype, seed=1), shape[-1]
    for offset in (None, _draw(channels, seed=2)):
        _agree("layer_norm_of_sum", dtype, total.clone(), x, _draw(channels, seed=3), _draw(channels, seed=4), offset)
        summed = total.clone()
        cpu_pointwise.layer_norm_of_sum(summed, x, torch.ones(channels), torch.zeros(channels), offset)
        assert torch.equal(summed, total + x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_convolutions_agree_with_their_definition(
    size: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, weight = _draw(*shape, dtype=dtype), _draw(size, size, shape[-1], seed=1)
    _agree("depthwise_silu", dtype, x, weight)
    _agree("depthwise", dtype, x, weight, _draw(shape[-1], seed=2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_agrees_with_its_definition(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    maps = [_draw(*shape[:3], shape[3] + i, dtype=dtype, seed=i) for i in range(3)]
    weights = _draw(shape[0], sum(m.shape[-1] for m in maps), seed=4)
    for count in (1, 3):
        _agree("pools", dtype, maps[:count])
        total = sum(m.shape[-1] for m in maps[:count])
        _agree("weigh", dtype, maps[:count], weights[:, :total].contiguous())
    _agree("gate", torch.float32, _draw(*shape[:3], 2), 0.1 * _draw(7, 7, 2, seed=1), _draw(1, seed=2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_elementwise_operations_agree_with_their_definitions(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    batch, height, width, channels = shape
    x, other = _draw(*shape, dtype=dtype), _draw(*shape, dtype=dtype, seed=1)
    gates, of_channels = _draw(batch, height, width, seed=2).sigmoid(), _draw(channels, seed=3)
    coarse = _draw(batch, -(-height // 2), -(-width // 2), channels, dtype=dtype, seed=4)
    _agree("gated_relu_add", dtype, x, gates, of_channels, other)
    _agree("weighed_add_relu", dtype, x, other, _draw(batch, channels, seed=5), of_channels)
    for added in (None, coarse):
        _agree("gated_add", dtype, x, gates, added)
        _agree("guided_add", dtype, x, other, added)
        _agree("guided_add", dtype, x, None, added)
    _agree("add_to_channels", dtype, x.clone(), of_channels)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gelu_agrees_with_torch_and_works_in_place(dtype: torch.dtype) -> None:
    x = (4 * _draw(2, 9, 7, 40)).to(dtype)
    expected = torch.nn.functional.gelu(x.double())
    y = cpu_pointwise.gelu_(x)
    assert y is x
    assert float((y.double() - expected).abs().max()) <= DTYPES[dtype] * float(expected.abs().max())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_models_ends_agree_with_their_definitions(dtype: torch.dtype) -> None:
    t1, t2 = (255 * _draw(2, 3, 37, 20, seed=i).sigmoid() for i in range(2))
    mean, deviation = 120 + _draw(2, 3, seed=2), 58 + _draw(2, 3, seed=3)
    got = cpu_pointwise.normalise(t1, t2, mean, deviation, dtype)
    expected = pointwise.normalise(t1, t2, mean, deviation, dtype)
    torch.testing.assert_close(got, expected, rtol=DTYPES[dtype], atol=DTYPES[dtype])
    _agree("enlarge_logits", torch.float32, _draw(2, 9, 5, 8), 7, 37, 20)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    maps = [_draw(2, 40, 37, 24), _draw(2, 40, 37, 24, seed=1)]
    threads = torch.get_num_threads()
    many = [*cpu_pointwise.pools(maps), cpu_pointwise.layer_norm(maps[0], torch.ones(24), torch.zeros(24))]
    torch.set_num_threads(1)
    try:
        one = [*cpu_pointwise.pools(maps), cpu_pointwise.layer_norm(maps[0], torch.ones(24), torch.zeros(24))]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(many, one, strict=True))


def test_float16_ends_at_its_largest_number() -> None:
    for channels in (20, 32):
        x = torch.full((1, 4, 4, channels), 60000.0, dtype=torch.float16)
        x[0, 1, 1, 3], x[0, 2, 2] = torch.nan, -60000
        y = cpu_pointwise.gated_add(x, torch.full((1, 4, 4), 2.0), None)
        largest = torch.finfo(torch.float16).max
        assert y[0, 1, 1, 3].isnan()
        assert (y[0, 0, 0] == largest).all()
        assert (y[0, 2, 2] == -largest).all()


def test_what_is_not_a_number_is_passed_on() -> None:
    x = _draw(1, 4, 4, 20)
    x[0, 1, 1, 3] = torch.nan
    assert cpu_pointwise.layer_norm(x, torch.ones(20), torch.zeros(20))[0, 1, 1].isnan().all()
    assert cpu_pointwise.weighed_add_relu(x, x, torch.ones(1, 20), torch.zeros(20))[0, 1, 1, 3].isnan()
    assert cpu_pointwise.gelu_(x)[0, 1, 1, 3].isnan()
