"""Times a model's inference as `geofcs detect` runs it, against matrix products of as many operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from geofcs.bench.first_tile import first_tile
from geofcs.bench.operations import operations
from geofcs.bench.rates import matrix_operations, matrix_product
from geofcs.bench.setting import Setting, sizes_of
from geofcs.bench.timing import Call, Clock, Note
from geofcs.model.inference import prepare
from geofcs.scoring import DTYPES

SCAN = "geofcs::four_direction_scan"

Forward = Callable[[Tensor, Tensor], object]


@dataclass(frozen=True)
class ModelTimes:
    """Inference of one model: seconds per pair of each implementation, and what they are held against.

    `operations` are a pair's convolutions and matrix products, `matrix_rate` what matrix products reached between the
    calls. `scan_share` is the scan's part of geofcs's time on a CPU, its projections not counted, if there is a scan.
    `first_tile` are seconds from weights in memory to the first logits in a fresh process.
    """

    model: str
    size: int
    batch: int
    precision: str
    operations: float
    matrix_rate: float
    seconds: dict[str, float]
    scan_share: float | None
    first_tile: dict[str, float]

    @property
    def floor(self) -> float:
        """Seconds that matrix products of as many operations take, per pair."""
        return self.operations / self.matrix_rate

    def ratio(self, name: str) -> float:
        """An implementation's time over the floor."""
        return self.seconds[name] / self.floor

    def as_json(self) -> dict[str, Any]:
        """Everything, with floor and ratios."""
        return {**asdict(self), "floor": self.floor, "over_floor": {name: self.ratio(name) for name in self.seconds}}


def time_model(setting: Setting, clock: Clock, others: Mapping[str, Forward], note: Note) -> ModelTimes:
    """Times of geofcs's prepared model and of `others`, matrix products in between."""
    note(f"{setting.model} at {setting.size}, batch {setting.batch}, {setting.precision}")
    device, (t1, t2) = clock.device, setting.images(clock.device)
    ours = prepare(setting.network().to(device), DTYPES[setting.precision])
    calls = {name: [_call(forward, t1, t2)] for name, forward in {"geofcs": ours, **others}.items()}
    product = "matrix product"
    with torch.inference_mode():
        seconds = clock.medians({**calls, product: [matrix_product(device, setting.precision)]})
        share = scan_share(calls["geofcs"][0]) if device == "cpu" else None
    note(f"{setting.model}'s first tile")
    return ModelTimes(
        **asdict(setting),
        operations=operations(sizes_of(setting.model), setting.size),
        matrix_rate=matrix_operations(device) / seconds.pop(product),
        seconds={name: each / setting.batch for name, each in seconds.items()},
        scan_share=share,
        first_tile=first_tile(setting, device),
    )


def _call(forward: Forward, t1: Tensor, t2: Tensor) -> Call:
    return lambda: forward(t1, t2)


def scan_share(call: Call) -> float | None:
    """The part of a call's time on the CPU that passes inside the scan; None for a model that scans nothing."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
    scans = [event for event in profiled.key_averages() if event.key == SCAN]
    return float(sum(event.cpu_time_total for event in scans)) / 1e6 / seconds if scans else None
