"""The scans: their definition, their vectorised form, and the operator in front of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from geofcs.model.ops import four_direction_scan
from geofcs.model.scan import four_direction_scan_definition, selective_scan_definition
from geofcs.model.vectorised_scan import selective_scan
from tests.model.conformance import assert_close, case, drawn

SELECTIVE_SCANS = [selective_scan_definition, selective_scan]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def published_inputs(stem: str) -> dict[str, Tensor]:
    state, batch, groups, per_group, length = (int(n) for n in case(stem)["dims"])
    channels = groups * per_group
    shapes = {
        "u": (batch, channels, length), "delta": (batch, channels, length), "A": (channels, state),
        "B": (batch, groups, state, length), "C": (batch, groups, state, length), "D": (channels,),
        "delta_bias": (channels,),
    }  # fmt: skip
    inputs = {name: drawn(f"{stem}/{name}", shape).double() for name, shape in shapes.items()}
    inputs["A"] = -torch.exp(0.5 * inputs["A"])
    inputs["delta_bias"] = -1 + 0.5 * inputs["delta_bias"]
    return {name: tensor.requires_grad_() for name, tensor in inputs.items()}


@pytest.mark.parametrize("scan", SELECTIVE_SCANS, ids=["definition", "vectorised"])
@pytest.mark.parametrize("stem", ["scan_n1_l37", "scan_n1_l300", "scan_n4_l50"])
def test_the_selective_scan_and_its_gradients_are_the_published_ones(scan: Callable[..., Tensor], stem: str) -> None:
    expected, inputs = case(stem), published_inputs(stem)
    out = scan(**inputs)
    assert_close(out, expected["out"], 1e-9)
    arrived = drawn(f"{stem}/grad_out", tuple(out.shape)).double()
    gradients = torch.autograd.grad(out, [inputs[name] for name in NAMES], arrived)
    for name, gradient in zip(NAMES, gradients, strict=True):
        assert_close(gradient, expected[f"grad_{name}"], 1e-9)


def arguments(
    batch: int, channels: int, height: int, width: int, rank: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Arguments of the four-direction scan, random, with channels last in memory as the model's are."""
    generator = torch.Generator().manual_seed(height * width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    return [
        normal(batch, height, width, channels).permute(0, 3, 1, 2),
        normal(batch, height, width, 4, rank + 2).permute(0, 3, 4, 1, 2),
        normal(4, channels, rank),
        normal(4, channels) - 2,
        normal(4, channels) / 2,
        normal(4, channels),
    ]


SIZES = [(1, 1), (1, 7), (9, 1), (5, 7), (8, 8), (13, 19), (17, 16)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("batch", "channels", "rank"), [(1, 3, 1), (2, 37, 3)])
def test_the_vectorised_scan_equals_its_definition_at_any_size(
    batch: int, channels: int, rank: int, height: int, width: int
) -> None:
    given = [t.requires_grad_() for t in arguments(batch, channels, height, width, rank)]
    found, expected = four_direction_scan(*given), four_direction_scan_definition(*given)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    arrived = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view(found.shape)
    gradients = (torch.autograd.grad(out, given, arrived) for out in (found, expected))
    for of_found, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(of_found, of_expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (2, 9)])
def test_gradients_agree_with_finite_differences(height: int, width: int) -> None:
    given = [t.requires_grad_() for t in arguments(1, 2, height, width, 1)]
    assert torch.autograd.gradcheck(four_direction_scan, given)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_operator_keeps_torchs_rules_for_operators(dtype: torch.dtype) -> None:
    images, parameters = arguments(2, 3, 5, 4, 2, dtype)[:2], arguments(2, 3, 5, 4, 2)[2:]
    if dtype is not torch.float64:
        parameters = [t.float() for t in parameters]
    torch.library.opcheck(
        torch.ops.geofcs.four_direction_scan.default, tuple(t.requires_grad_() for t in (*images, *parameters))
    )


def test_memory_order_does_not_matter() -> None:
    given = arguments(2, 5, 6, 7, 2)
    expected = four_direction_scan(*given)
    contiguous = [t.contiguous() for t in given]
    spread = [torch.stack([t, t], -1)[..., 0] for t in given]
    for other in (contiguous, spread):
        torch.testing.assert_close(four_direction_scan(*other), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_at_the_end(dtype: torch.dtype) -> None:
    x, factors, *parameters = (t.float() for t in arguments(1, 8, 32, 33, 2))
    x, factors = x.to(dtype), factors.to(dtype)
    found = four_direction_scan(x, factors, *parameters)
    exact = four_direction_scan(x.double(), factors.double(), *(t.double() for t in parameters))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact.to(dtype).double(), rtol=torch.finfo(dtype).eps, atol=1e-5)


def test_states_too_large_for_half_precision_stay_finite_until_the_sum() -> None:
    x, factors, *parameters = (t.float() for t in arguments(1, 4, 40, 40, 2))
    parameters[2].fill_(-9)  # hardly any decay, so that states add up over 1600 positions
    factors[:, :, -2] = 50
    factors[:, :, -1] = 1e-3
    found = four_direction_scan(x.abs().half(), factors.half(), *parameters)
    assert found.isfinite().all()


def test_extreme_step_sizes_and_decays_neither_overflow_nor_turn_to_nan() -> None:
    x, factors, dt_weight, dt_bias, a_log, skip = (t.float() for t in arguments(1, 6, 50, 50, 2))
    dt_bias[:, :2], dt_bias[:, 2:4] = 200, -200
    a_log[:, ::2], a_log[:, 1::2] = 8, -30
    given = [t.requires_grad_() for t in (x, factors, dt_weight, dt_bias, a_log, skip)]
    out = four_direction_scan(*given)
    assert out.isfinite().all()
    torch.testing.assert_close(out, four_direction_scan_definition(*given), rtol=1e-4, atol=1e-2)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), given))


def test_channels_scanned_in_several_runs_agree_with_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given = arguments(1, 70, 5, 6, 2)
    at_once = four_direction_scan(*given)
    monkeypatch.setattr("geofcs.model.vectorised_scan.VALUES_AT_ONCE", 1)
    torch.testing.assert_close(four_direction_scan(*given), at_once, rtol=1e-12, atol=1e-12)
