"""What the kernels must do on any device; the tests of each device call these."""

from __future__ import annotations

import geofcs_kernels
import torch
from reference import Size, arguments, relative_error, with_gradients
from torch import Tensor

TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Relative: a few roundings of float32 sums, a few of 16-bit results."""


def agrees_with_float64(
    size: Size, dtype: torch.dtype, device: str, *, channels_first: bool = False, padding: int = 0
) -> None:
    """Result and gradients of all arguments."""
    given = arguments(size, dtype, device)
    if padding:
        given[1] = padded(given[1], padding)
    if channels_first:
        given[:2] = [t.contiguous() for t in given[:2]]
    # One draw for all time: where terms cancel, a gradient of another draw may be further off than the tolerance.
    drawn = torch.randn(given[0].shape, generator=torch.Generator().manual_seed(1))
    grad = torch.empty_like(given[0]).copy_(drawn)
    got = both(given, grad)
    for name, value, expected in zip(NAMES, got, with_gradients(given, grad), strict=True):
        assert relative_error(value, expected) < TOLERANCE[dtype], name


def padded(factors: Tensor, padding: int) -> Tensor:
    """The same numbers with others, which no one may look at, behind each direction's."""
    rows = factors.shape[2]
    batch, _, _, height, width = factors.shape
    wide = factors.new_full((batch, height, width, 4, rows + padding), float("nan"))
    wide[..., :rows] = factors.permute(0, 3, 4, 1, 2)
    return wide[..., :rows].permute(0, 3, 4, 1, 2)


NAMES = ("y", "x", "factors", "dt_weight", "dt_bias", "a_log", "skip")


def both(given: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Result and gradients."""
    return [geofcs_kernels.forward(*given), *geofcs_kernels.backward(grad, *given)]


def keeps_shapes_and_dtypes(dtype: torch.dtype, device: str) -> None:
    """Of the result and of all gradients."""
    given = arguments(Size(2, 9, 5, 3, 2), dtype, device)
    y, *gradients = both(given, given[0])
    assert (y.shape, y.dtype) == (given[0].shape, dtype)
    assert y.permute(0, 2, 3, 1).is_contiguous()
    assert [(g.shape, g.dtype) for g in gradients] == [(t.shape, t.dtype) for t in given]


def repeats_itself(device: str) -> None:
    """Bit by bit."""
    given = arguments(Size(2, 70, 40, 33, 8), torch.bfloat16, device)
    first, second = both(given, given[0]), both(given, given[0])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def stays_finite(device: str, dtype: torch.dtype) -> None:
    """For constant maps and for steps far out of range."""
    given = arguments(Size(1, 32, 20, 20, 8), dtype, device)
    for factor in (0.0, 100.0):
        scaled = [given[0] * factor, given[1] * factor, *given[2:]]
        assert all(torch.isfinite(t.float()).all() for t in [geofcs_kernels.forward(*scaled)])


def keeps_float16_finite_but_not_its_gradients(device: str) -> None:
    """Results beyond the largest number become that, those that are no numbers stay so; gradients become infinite."""
    given = arguments(Size(1, 24, 5, 18, 8), torch.float16, device)
    largest = torch.finfo(torch.float16).max
    given[0][0, 0], given[0][0, 1], given[0][0, 2] = 60000, -60000, torch.nan
    given[5] = given[5] * 4
    y = geofcs_kernels.forward(*given)
    assert (y[0, 0] == largest).any()
    assert (y[0, 1] == -largest).any()
    assert y[0, 2].isnan().all()
    assert y[0, 3:].isfinite().all()
    grad = torch.full_like(given[0], 60000)
    assert geofcs_kernels.backward(grad, *given)[0].isinf().any()


def takes_any_strides(device: str) -> None:
    """Slices, padded factors and maps inside larger ones give what contiguous copies give."""
    for padding in (0, 1, 6):
        given = arguments(Size(2, 40, 18, 21, 8), torch.bfloat16, device)
        wide = torch.zeros(2, 18, 21, 4, 10 + padding, dtype=torch.bfloat16, device=device)
        wide[..., :10] = given[1].permute(0, 3, 4, 1, 2)
        room = torch.zeros(2, 20, 25, 49, dtype=torch.bfloat16, device=device)
        room[:, 1:19, 2:23, 3:43] = given[0].permute(0, 2, 3, 1)
        strided = [room[:, 1:19, 2:23, 3:43].permute(0, 3, 1, 2), wide[..., :10].permute(0, 3, 4, 1, 2), *given[2:]]
        for a, b in zip(both(given, given[0]), both(strided, strided[0]), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)


def serves_empty_maps(device: str) -> None:
    """No batch elements, no rows."""
    for size in (Size(0, 8, 4, 4, 2), Size(1, 8, 0, 4, 2)):
        given = arguments(size, torch.float32, device)
        assert [t.shape for t in both(given, given[0])] == [given[0].shape, *(t.shape for t in given)]
