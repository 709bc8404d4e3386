"""Times the four-direction scan, projections included, at the shapes that a model runs it at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from geofcs.bench.timing import Call, Clock, Note, without_gaps
from geofcs.errors import UsageError
from geofcs.model.build import model_of
from geofcs.model.config import ChangeConfig
from geofcs.model.ops import DIRECTIONS, four_direction_scan, padded_factors, projected_scan
from geofcs.model.vss import SS2D
from geofcs.scoring import DTYPES

ROTATED_BYTES = 2**28
"""Inputs rotate among so many bytes, several times any L2 cache, so that none of them is found there."""
MOST_SETS = 32
"""More copies of small inputs are not made: they would take longer to make than to time."""
PUBLISHED_COPIES = {
    (8, 256, 128, 128): 56e-6,
    (8, 512, 64, 64): 33e-6,
    (8, 1024, 32, 32): 17e-6,
    (8, 2048, 16, 16): 6e-6,
}
"""Seconds of bf16 copies on an H100 that the published code's scan was measured against."""

ScanFunction = Callable[..., Tensor]
"""(x, factors, dt_weight, dt_bias, a_log, skip) -> y, as `geofcs.model.ops.four_direction_scan`."""


@dataclass(frozen=True)
class Stage:
    """A shape of the scan: channels D, height, width and rank R, and how often a pair of images runs it."""

    channels: int
    height: int
    width: int
    rank: int
    runs: int


@dataclass(frozen=True)
class StageTimes:
    """Seconds at one shape (b, D, h, w): of a copy of x at bandwidth, and of each implementation's passes."""

    shape: tuple[int, int, int, int]
    rank: int
    runs: int
    copy: float
    seconds: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ScanTimes:
    """All shapes of one precision."""

    model: str
    precision: str
    stages: tuple[StageTimes, ...]

    def ratio(self, name: str, passes: str) -> float:
        """An implementation's time over that of copies of x, both summed as a pair of images runs the shapes."""
        return self.total(name, passes) / sum(stage.runs * stage.copy for stage in self.stages)

    def published_ratio(self, name: str, passes: str) -> float | None:
        """The same over `PUBLISHED_COPIES`, where the shapes are those."""
        if self.precision == "fp32" or any(stage.shape not in PUBLISHED_COPIES for stage in self.stages):
            return None
        return self.total(name, passes) / sum(stage.runs * PUBLISHED_COPIES[stage.shape] for stage in self.stages)

    def total(self, name: str, passes: str) -> float:
        """Seconds summed as a pair of images runs the shapes, but for batches of the shapes' size."""
        return sum(stage.runs * stage.seconds[name][passes] for stage in self.stages)

    @property
    def names(self) -> tuple[str, ...]:
        """The implementations."""
        return tuple(self.stages[0].seconds)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the ratios."""
        ratios = {name: {passes: self.ratio(name, passes) for passes in MAKE} for name in self.names}
        published = {name: {passes: self.published_ratio(name, passes) for passes in MAKE} for name in self.names}
        return {**asdict(self), "over_copies": ratios, "over_copies_on_h100": published}


def stages_of(config: ChangeConfig, size: int) -> list[Stage]:
    """The scans of a pair of images, found by passing one through the model without computing anything.

    An encoder's blocks run for each date, a decoder's once. Raises `UsageError` for a model that scans nothing.
    """
    runs: dict[tuple[int, int, int, int], int] = {}

    def count(scan: SS2D, inputs: tuple[Tensor]) -> None:
        batch, height, width, _ = inputs[0].shape
        _, channels, rank = scan.dt_weight.shape
        shape = (channels, height, width, rank)
        runs[shape] = runs.get(shape, 0) + batch

    with FakeTensorMode(), torch.no_grad():
        model, images = model_of(config).eval(), torch.empty(1, 3, size, size)
        for module in model.modules():
            if isinstance(module, SS2D):
                module.register_forward_pre_hook(count)
        model(images, images)
    if not runs:
        raise UsageError(f"{config.architecture} scans nothing: say geofcs bench model, or another --model")
    return [Stage(*shape, number) for shape, number in runs.items()]


def time_scan(
    model: str,
    stages: Sequence[Stage],
    batch: int,
    precision: str,
    clock: Clock,
    bandwidth: float,
    others: Mapping[str, ScanFunction],
    note: Note,
) -> ScanTimes:
    """Times of geofcs's scan and of `others` at each shape; `bandwidth` in bytes per second is that of a copy."""
    dtype, times = DTYPES[precision], []
    for stage in stages:
        shape = (batch, stage.channels, stage.height, stage.width)
        note(f"scan of {shape} in {precision}")
        size = torch.Size(shape).numel() * dtype.itemsize
        sets = [
            _inputs(stage, batch, dtype, clock.device) for _ in range(min(MOST_SETS, max(2, ROTATED_BYTES // size)))
        ]
        seconds = {
            name: {
                passes: clock.median([without_gaps(make(scan, each), clock.device) for each in sets])
                for passes, make in MAKE.items()
            }
            for name, scan in {"geofcs": four_direction_scan, **others}.items()
        }
        times.append(StageTimes(shape, stage.rank, stage.runs, 2 * size / bandwidth, seconds))
    return ScanTimes(model, precision, tuple(times))


def _inputs(stage: Stage, batch: int, dtype: torch.dtype, device: str) -> list[Tensor]:
    """x as it leaves the SiLU, channels last; the projections' weight; the scan's parameters; a gradient."""
    channels, rank = stage.channels, stage.rank

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, device=device)

    x = draw(batch, stage.height, stage.width, channels).to(dtype)
    grad = draw(batch, stage.height, stage.width, channels).to(dtype).permute(0, 3, 1, 2)
    factors_weight = (draw(DIRECTIONS, rank + 2, channels) / channels**0.5).to(dtype)
    parameters = [
        draw(DIRECTIONS, channels, rank) / rank**0.5,
        draw(DIRECTIONS, channels) - 3,
        0.5 * draw(DIRECTIONS, channels),
        draw(DIRECTIONS, channels),
    ]
    return [*(each.requires_grad_() for each in (x, factors_weight, *parameters)), grad]


def _scanned(scan: ScanFunction, x: Tensor, factors_weight: Tensor, *parameters: Tensor) -> Tensor:
    """Projections, then the four directions: (b, D, h, w)."""
    factors = torch.unflatten(F.linear(x, factors_weight.flatten(0, 1)), -1, (DIRECTIONS, -1))
    rows = parameters[0].shape[-1] + 2
    return scan(x.permute(0, 3, 1, 2), factors[..., :rows].permute(0, 3, 4, 1, 2), *parameters)


def _forward(scan: ScanFunction, inputs: list[Tensor]) -> Call:
    """As inference runs it, its weights padded beforehand."""
    x, factors_weight, *parameters, _ = (each.detach() for each in inputs)
    padded = padded_factors(factors_weight)
    return lambda: _scanned(scan, x, padded, *parameters)


def _both(scan: ScanFunction, inputs: list[Tensor]) -> Call:
    """As training runs it."""
    *leaves, grad = inputs
    if scan is four_direction_scan:
        last = grad.permute(0, 2, 3, 1)
        return lambda: torch.autograd.grad(projected_scan(*leaves), leaves, last)
    return lambda: torch.autograd.grad(_scanned(scan, *leaves), leaves, grad)


MAKE = {"forward": _forward, "both": _both}
"""Forward alone; forward and backward."""
