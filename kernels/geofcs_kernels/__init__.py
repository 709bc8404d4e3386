"""The scans of geofcs, fused: CUDA and CPU kernels on torch's tensors.

`available` says whether a kind of device is served and why not; `forward` and `backward` are the operator
`geofcs::four_direction_scan` (see `geofcs.model.scan` for its definition); `selective_scan` and its backward serve any
state size.
"""

from __future__ import annotations

from geofcs_kernels import training
from geofcs_kernels.dispatch import DTYPES, Availability, available, backward, forward, pointwise_functions
from geofcs_kernels.selective import selective_scan, selective_scan_backward

__all__ = [
    "DTYPES",
    "Availability",
    "available",
    "backward",
    "forward",
    "pointwise_functions",
    "selective_scan",
    "selective_scan_backward",
    "training",
]
__version__ = "0.1.0"
