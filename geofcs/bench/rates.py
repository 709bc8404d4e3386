"""What the machine itself can do: plain copies and matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from geofcs.bench.timing import Call, Clock, Note
from geofcs.scoring import DTYPES

COPY_BYTES = {"cuda": 2**31, "cpu": 2**28}
"""Far more than any cache holds."""
MATRIX_SIDE = {"cuda": 8192, "cpu": 2048}
"""Square matrices that reach the peak."""


def copy_bandwidth(clock: Clock) -> float:
    """Bytes read and written per second by a plain copy far larger than the caches."""
    size = COPY_BYTES[clock.device]
    source = torch.randn(size // 4, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / clock.median([lambda: target.copy_(source)])


def matrix_rates(clock: Clock, precisions: Sequence[str], note: Note) -> dict[str, float]:
    """Operations per second, two per multiply-add, of a large matrix product in each precision."""
    rates = {}
    for precision in precisions:
        note(f"matrix products in {precision}")
        rates[precision] = matrix_operations(clock.device) / clock.median([matrix_product(clock.device, precision)])
    return rates


def matrix_product(device: str, precision: str) -> Call:
    """A product of two square matrices."""
    side, dtype = MATRIX_SIDE[device], DTYPES[precision]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    result = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=result)


def matrix_operations(device: str) -> int:
    """Operations of `matrix_product`."""
    return 2 * MATRIX_SIDE[device] ** 3
