"""The four-direction scan of geofcs, fused: CUDA and CPU kernels behind two functions.

`available` says whether a kind of device is served and why not; `forward` and `backward` are the operator
`geofcs::four_direction_scan` (see `geofcs.model.scan` for its definition) on tensors of such a device.
"""

from __future__ import annotations

from geofcs_kernels.dispatch import Availability, available, backward, forward

__all__ = ["Availability", "available", "backward", "forward"]
__version__ = "0.1.0"
