"""The selective scan of any state size against the published numbers."""

from __future__ import annotations

import zlib
from pathlib import Path

import geofcs_kernels
import numpy as np
import pytest
import torch
from torch import Tensor

DATA = Path(__file__).parents[2] / "tests" / "data" / "conformance"
CASES = ["scan_n1_l37", "scan_n1_l300", "scan_n4_l50"]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def _draw(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32)).double()


def _given(case: str, dims: list[int]) -> dict[str, Tensor]:
    states, batch, groups, per_group, length = dims
    channels = groups * per_group
    shapes = {
        **dict.fromkeys(("u", "delta", "grad_out"), (batch, channels, length)),
        **dict.fromkeys(("B", "C"), (batch, groups, states, length)),
        **{"A": (channels, states), "D": (channels,), "delta_bias": (channels,)},
    }
    drawn = {name: _draw(f"{case}/{name}", shape) for name, shape in shapes.items()}
    return drawn | {"A": -torch.exp(0.5 * drawn["A"]), "delta_bias": -1 + 0.5 * drawn["delta_bias"]}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("cpu", torch.float32), ("cuda", torch.float32)])
def test_published_results_and_gradients_are_reproduced(case: str, device: str, dtype: torch.dtype) -> None:
    if not (available := geofcs_kernels.available(device)).ok:
        pytest.skip(available.reason)
    if not (DATA / f"{case}.npz").exists():
        pytest.skip("the published numbers lie in the repository's tests/data")
    with np.load(DATA / f"{case}.npz") as file:
        expected = {name: torch.from_numpy(file[name]).double() for name in file.files if name != "dims"}
        given = _given(case, file["dims"].tolist())
    arguments = [given[name].to(device, dtype) for name in NAMES]
    result = geofcs_kernels.selective_scan(*arguments)
    gradients = geofcs_kernels.selective_scan_backward(given["grad_out"].to(device, dtype), *arguments)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for name, value in zip(("out", *(f"grad_{n}" for n in NAMES)), (result, *gradients), strict=True):
        torch.testing.assert_close(value.cpu().double(), expected[name], rtol=tolerance, atol=tolerance)
