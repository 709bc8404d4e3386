"""Fused layers train as plain torch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofcs.model.build import build
from geofcs.model.interface import ChangeModel, Logits
from geofcs.model.kernels import choice_for
from geofcs.model.layers import ChannelNorm, depthwise_silu, gelu_linear
from geofcs.model.recording import recorded_training
from geofcs.model.sizes import pico
from geofcs.model.vss import DropPath

on_gpu = pytest.mark.skipif(choice_for("cuda").kernels is None, reason=choice_for("cuda").reason)
SIZES = [(2, 17, 23, 128), (1, 8, 8, 2048), (2, 33, 5, 24), (1, 13, 9, 7), (1, 1, 1, 8)]


def with_gradients(layer: Callable[..., Tensor], leaves: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
    """A layer's result and its gradients for all of its arguments."""
    own = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    result = layer(*own)
    return [result.detach(), *torch.autograd.grad(result, own, grad.to(result.dtype))]


def relative_error(value: Tensor, expected: Tensor) -> float:
    norm = expected.detach().double().norm().clamp_min(1e-12)
    return float((value.detach().double() - expected.detach().double()).norm() / norm)


def test_a_linear_layer_of_gelu_has_the_gradients_of_both() -> None:
    torch.manual_seed(0)
    x, linear = torch.randn(2, 3, 5, 8, dtype=torch.float64), nn.Linear(8, 6).double()
    x.requires_grad_()
    inputs = (x, linear.weight, linear.bias)
    expected = torch.autograd.grad(linear(F.gelu(x)).square().sum(), inputs)
    found = torch.autograd.grad(gelu_linear(x, linear).square().sum(), inputs)
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found, expected, strict=True))


@on_gpu
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "autocast", "tolerance"),
    [
        (torch.float32, None, 1e-5),
        (torch.float32, torch.bfloat16, 1e-2),
        (torch.bfloat16, torch.bfloat16, 1e-2),
        (torch.float16, torch.float16, 2e-3),
    ],
    ids=str,
)
def test_the_fused_norm_agrees_with_float64(
    size: tuple[int, ...], dtype: torch.dtype, autocast: torch.dtype | None, tolerance: float
) -> None:
    torch.manual_seed(0)
    x, grad = (torch.randn(size, device="cuda") for _ in range(2))
    leaves = [x.to(dtype), *(torch.randn(size[-1], device="cuda") for _ in range(2))]
    grad = grad.to(autocast or dtype)
    norm = ChannelNorm(size[-1])

    def fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        norm.weight, norm.bias = weight, bias  # type: ignore[assignment]
        with torch.autocast("cuda", autocast or torch.bfloat16, enabled=autocast is not None):
            normalised: Tensor = norm(x)
        return normalised

    del norm.weight, norm.bias
    found = with_gradients(fused, leaves, grad)
    expected = with_gradients(
        lambda x, weight, bias: F.layer_norm(x, x.shape[-1:], weight, bias, 1e-5),
        [leaf.double() for leaf in leaves],
        grad.double(),
    )
    assert found[0].dtype == (autocast or dtype)
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < tolerance


@on_gpu
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)], ids=str
)
def test_the_fused_depthwise_convolution_agrees_with_float64(
    size: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    torch.manual_seed(0)
    channels = size[-1]
    conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False).cuda()
    x, grad = (torch.randn(size, device="cuda").to(dtype) for _ in range(2))
    x.requires_grad_()
    y = depthwise_silu(x, conv)
    found = [y, *torch.autograd.grad(y, (x, conv.weight), grad)]
    wide = x.detach().double().requires_grad_()
    conv = conv.double()
    z = F.silu(conv(wide.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    expected = [z, *torch.autograd.grad(z, (wide, conv.weight), grad.double())]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < tolerance


def images(batch: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    t1, t2 = (255 * torch.rand(batch, 3, size, size, generator=generator) for _ in range(2))
    return t1.to(device), t2.to(device)


def gradients(model: ChangeModel, call: Callable[[Tensor, Tensor], Logits], device: str) -> dict[str, Tensor]:
    """Of the mean square of all logits, by parameter."""
    model.zero_grad()
    logits = call(*images(2, 64, device))
    means = [each.float().square().mean() for each in logits if each is not None]
    torch.stack(means).sum().backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone().cpu() for name, p in model.named_parameters() if p.grad is not None}


def without_chance(seed: int = 0) -> ChangeModel:
    """A small model in training mode without stochastic depth."""
    model = build(pico(classes=5, width=16, depths=(1, 1, 1, 1)), seed)
    for module in model.modules():
        if isinstance(module, DropPath):
            module.rate = 0.0
    return model


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """But for rounding, judged by each parameter's whole gradient; those that cancel out, by the largest."""
    assert found.keys() == expected.keys()
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= 1e-3 * float(gradient.norm()) + 1e-5 * largest, name


@on_gpu
def test_the_whole_models_gradients_on_a_gpu_are_those_on_the_cpu() -> None:
    on_cpu, on_cuda = without_chance(), without_chance().cuda()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = gradients(on_cuda, on_cuda, "cuda")
    assert_same_gradients(found, gradients(on_cpu, on_cpu, "cpu"))


@on_gpu
def test_recorded_training_passes_leave_no_node_on_a_stream_of_their_own(recwarn: pytest.WarningsRecorder) -> None:
    model = without_chance().cuda()
    torch.set_warn_always(True)
    try:
        recorded = recorded_training(model, *images(2, 64, "cuda"), torch.bfloat16)
        for _ in range(2):
            gradients(model, recorded, "cuda")
    finally:
        torch.set_warn_always(False)
    assert not [warning for warning in recwarn if "stream" in str(warning.message)]


@on_gpu
def test_recorded_training_passes_give_the_gradients_of_unrecorded_ones() -> None:
    model = without_chance().cuda()
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        plain = gradients(model, model, "cuda")
        for name, buffer in model.named_buffers():
            buffer.copy_(statistics[name])
        recorded = recorded_training(model, *images(2, 64, "cuda"), torch.float32)
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())
    for _ in range(2):
        assert_same_gradients(gradients(model, recorded, "cuda"), plain)
