"""The compiled kernels behind the operator: torch's rules, agreement with the definition, and who decides."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from geofcs.model import kernels
from geofcs.model.ops import PLAIN_TORCH, four_direction_scan, implementation_for, projected_scan
from geofcs.model.scan import four_direction_scan_definition

DEVICES = ["cpu", "cuda"]


def needs_kernels(device: str) -> None:
    """Skip where no kernels serve the device, and say why."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    if kernels.choice_for(device).kernels is None:
        pytest.skip(kernels.choice_for(device).reason)


def arguments(device: str, dtype: torch.dtype, height: int = 5, width: int = 4) -> list[Tensor]:
    """x (2, 8, h, w), factors of rank 3, float32 parameters; all ask for gradients."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    images = [draw(2, height, width, 8).permute(0, 3, 1, 2), draw(2, height, width, 4, 5).permute(0, 3, 4, 1, 2)]
    parameters = [draw(4, 8, 3), draw(4, 8) - 2, draw(4, 8) / 2, draw(4, 8)]
    return [t.requires_grad_() for t in (*(image.to(dtype) for image in images), *parameters)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_with_kernels_the_operator_keeps_torchs_rules(device: str, dtype: torch.dtype) -> None:
    needs_kernels(device)
    given = arguments(device, dtype)
    assert implementation_for(given[0]) is not PLAIN_TORCH
    torch.library.opcheck(torch.ops.geofcs.four_direction_scan.default, tuple(given))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(1, 1), (1, 33), (19, 1), (16, 16), (17, 35)], ids=str)
def test_kernels_agree_with_the_definition(device: str, size: tuple[int, int]) -> None:
    needs_kernels(device)
    given = arguments(device, torch.float32, *size)
    wide = [t.detach().double().requires_grad_() for t in given]
    found, expected = four_direction_scan(*given), four_direction_scan_definition(*wide)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    gradients = (torch.autograd.grad(out.sum(), of) for out, of in ((found, given), (expected, wide)))
    for of_found, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(of_found.double(), of_expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
@pytest.mark.parametrize("rank", [3, 8])
def test_the_projected_scan_has_the_gradients_of_its_two_steps(
    device: str, dtype: torch.dtype, tolerance: float, rank: int
) -> None:
    needs_kernels(device)
    generator = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    x, weight = draw(2, 19, 21, 16).to(dtype), draw(4, rank + 2, 16) / 4
    parameters = [draw(4, 16, rank) / rank**0.5, draw(4, 16) - 2, draw(4, 16) / 2, draw(4, 16)]
    leaves = [t.requires_grad_() for t in (x, weight, *parameters)]
    factors = torch.unflatten(F.linear(x, weight.to(dtype).flatten(0, 1)), -1, (4, -1)).permute(0, 3, 4, 1, 2)
    steps = four_direction_scan(x.permute(0, 3, 1, 2), factors, *parameters).permute(0, 2, 3, 1)
    grad = draw(*steps.shape).to(dtype)
    found = projected_scan(*leaves)
    for one, other in zip(
        (found.detach(), *torch.autograd.grad(found, leaves, grad)),
        (steps.detach(), *torch.autograd.grad(steps, leaves, grad)),
        strict=True,
    ):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert float((one - other).double().norm()) <= tolerance * float(other.double().norm())


@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_model_calls_the_same_operator(device: str) -> None:
    """`aot_eager` traces forward and backward as every backend of torch.compile does, and needs no C++ compiler."""
    needs_kernels(device)
    given = arguments(device, torch.float32)
    compiled = torch.compile(lambda *t: four_direction_scan(*t).square().sum(), backend="aot_eager", fullgraph=True)
    for found, expected in zip(
        torch.autograd.grad(compiled(*given), given),
        torch.autograd.grad(four_direction_scan(*given).square().sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_fake_tensors_never_reach_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Tensor) -> None:
        raise AssertionError("an implementation was asked for")

    monkeypatch.setattr("geofcs.model.ops.implementation_for", refuse)
    with FakeTensorMode(allow_non_fake_inputs=True):
        given = arguments("cpu", torch.bfloat16)
        result = four_direction_scan(*given)
        gradients = torch.autograd.grad(result.sum(), given)
    assert (result.shape, result.dtype) == (given[0].shape, torch.bfloat16)
    assert [g.shape for g in gradients] == [t.shape for t in given]


@pytest.fixture
def undecided() -> Iterator[None]:
    """Nothing is decided and nobody was warned, before and after."""
    for decision in (kernels.choice_for, kernels._warn):
        decision.cache_clear()
    yield
    for decision in (kernels.choice_for, kernels._warn):
        decision.cache_clear()


@pytest.mark.usefixtures("undecided")
def test_without_the_package_plain_torch_runs_after_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_installed", lambda: None)
    x = torch.zeros(1, 1, 1, 1)
    with pytest.warns(RuntimeWarning, match="pip install ./kernels") as said:
        assert implementation_for(x) is PLAIN_TORCH
        assert implementation_for(x) is PLAIN_TORCH
    assert len(said) == 1


@pytest.mark.usefixtures("undecided")
def test_kernels_that_cannot_serve_a_device_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = SimpleNamespace(available=lambda device: (False, f"nothing for {device}"))
    monkeypatch.setattr(kernels, "_installed", lambda: refusing)
    assert kernels.choice_for("cuda") == (None, "torch", "nothing for cuda")


@pytest.mark.parametrize("device", DEVICES)
def test_double_precision_is_left_to_plain_torch(device: str) -> None:
    needs_kernels(device)
    assert implementation_for(torch.zeros(1, 1, 1, 1, dtype=torch.float64, device=device)) is PLAIN_TORCH
