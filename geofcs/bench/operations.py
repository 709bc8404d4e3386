"""Counts a model's arithmetic."""

from __future__ import annotations

from math import prod

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from geofcs.model.build import model_of
from geofcs.model.config import ChangeConfig


def operations(config: ChangeConfig, size: int) -> float:
    """Operations of a pair's convolutions and matrix products, 2 per multiply-add, in the model as it is written."""
    counting = FlopCounterMode(display=False, custom_mapping=OPERATIONS)
    with FakeTensorMode(), torch.no_grad(), counting:
        images = torch.empty(1, 3, size, size)
        model_of(config).eval()(images, images)
    return float(counting.get_total_flops())


def _scan_operations(x: tuple[int, ...], _factors: object, dt_weight: tuple[int, ...], *_: object, **__: object) -> int:
    """The scan's only matrix product: step sizes from their factors, at every position."""
    return 2 * x[0] * x[2] * x[3] * prod(dt_weight)


def _attention_operations(q: tuple[int, ...], k: tuple[int, ...], *_: object, **__: object) -> int:
    """Of queries (b, heads, n, d) with keys (b, heads, m, d), and of what comes out with values."""
    return 2 * 2 * prod(q) * k[2]


OPERATIONS = {
    torch.ops.geofcs.four_direction_scan: _scan_operations,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations,
}
"""What torch's counter does not know."""
