"""Which functions fuse pointwise work on a kind of device: compiled kernels as far as they exist, else plain torch."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from geofcs.model.inference import pointwise
from geofcs.model.kernels import kernels_for

NAMES = (
    *("layer_norm", "layer_norm_gelu", "layer_norm_of_sum", "add_to_channels", "depthwise_silu", "depthwise"),
    *("pools", "weigh", "gate", "gated_relu_add", "gated_add", "guided_add", "weighed_add_relu"),
    *("to_planes", "log_amplitudes", "join_dates", "enlarge_logits", "normalise"),
)


def pointwise_for(x: Tensor) -> Any:
    """A namespace with the functions of `pointwise` for tensors on x's device."""
    return _functions(x.device.type)


@functools.cache
def _functions(device_type: str) -> SimpleNamespace:
    kernels = kernels_for(device_type)
    compiled: dict[str, Any] = {} if kernels is None else kernels.pointwise_functions(device_type)
    return SimpleNamespace(**{name: compiled.get(name, getattr(pointwise, name)) for name in NAMES})
