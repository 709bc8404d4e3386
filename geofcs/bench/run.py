"""A benchmark from what is asked for to all its figures."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from geofcs.bench.machine import Machine, default_precisions, machine
from geofcs.bench.model import ModelTimes, time_model
from geofcs.bench.polygons import PolygonTimes, time_polygons
from geofcs.bench.rates import copy_bandwidth, matrix_rates
from geofcs.bench.scan import ScanTimes, stages_of, time_scan
from geofcs.bench.scene import SceneTimes, time_scene
from geofcs.bench.setting import Setting, sizes_of
from geofcs.bench.timing import Clock, Note
from geofcs.bench.train import PASSES, TrainingTimes, time_training
from geofcs.bench.with_model import ModelledTimes, time_with_model
from geofcs.errors import ComputeError, UsageError
from geofcs.scoring import DTYPES, chosen_device

PARTS = {"cuda": ("scan", "model", "train"), "cpu": ("scan", "model")}
"""What "all" stands for; scenes and polygons, which take minutes and gigabytes of disk, are timed by themselves."""
REPEATS = {"cuda": 20, "cpu": 5}
BATCHES = {"cuda": 8, "cpu": 1}
"""Pairs per call of a model, as `geofcs detect` takes them."""
SCAN_BATCH = 8
SIZE = 512
MODELS = {"cuda": ("base",), "cpu": ("base", "pico")}
SCENE_SIZE = 4096
SCENE_WORKERS = 2
TRAINED = ((2, 512), (10, 416))
"""(pairs, pixels a side) of training steps: the published code's figures are of these."""
NOT_TRAINED = "fp16"
"""It would need a loss scale."""


@dataclass(frozen=True)
class Request:
    """What to time, some of `PARTS`, and how; None is the device's default, no parts, models or precisions likewise.

    `other` is "module:function": another implementation of the scan or of a model, timed beside geofcs's.
    """

    parts: tuple[str, ...]
    device: str = "auto"
    models: tuple[str, ...] = ()
    size: int | None = None
    batch: int | None = None
    precisions: tuple[str, ...] = ()
    repeats: int | None = None
    threads: int | None = None
    other: str | None = None

    def __post_init__(self) -> None:
        if self.other and self.parts not in (("scan",), ("model",)):
            raise UsageError("--other is an implementation of one thing: say geofcs bench scan, or geofcs bench model")
        for precision in self.precisions:
            if precision not in DTYPES:
                raise UsageError(f"--precision {precision}: known are {', '.join(DTYPES)}")


@dataclass(frozen=True)
class Results:
    """All figures, in seconds, bytes and operations per second."""

    machine: Machine
    copy_bandwidth: float
    matrix_rates: dict[str, float]
    scans: tuple[ScanTimes, ...]
    models: tuple[ModelTimes, ...]
    trainings: tuple[TrainingTimes, ...]
    scenes: tuple[SceneTimes | ModelledTimes, ...]
    polygons: tuple[PolygonTimes, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values, with the ratios."""
        return {
            "machine": asdict(self.machine),
            "copy_bytes_per_second": self.copy_bandwidth,
            "matrix_operations_per_second": self.matrix_rates,
            "scan": [each.as_json() for each in self.scans],
            "model": [each.as_json() for each in self.models],
            "train": [each.as_json() for each in self.trainings],
            "scene": [each.as_json() for each in self.scenes],
            "polygons": [each.as_json() for each in self.polygons],
        }


def bench(request: Request, note: Note) -> Results:
    """Measure what is asked for; `note` is told what is being measured.

    Raises `UsageError` for what cannot be timed, `ComputeError` where the GPU's memory does not suffice.
    """
    device = chosen_device(request.device)
    if device not in REPEATS:
        raise UsageError(f"--device {device}: only cpu and cuda are timed")
    if request.threads:
        torch.set_num_threads(request.threads)
    try:
        return _measured(request, Clock(device, request.repeats or REPEATS[device]), note)
    except torch.OutOfMemoryError as error:
        raise ComputeError("the GPU's memory does not suffice: take a smaller --batch or --size") from error


def _measured(request: Request, clock: Clock, note: Note) -> Results:
    request = replace(request, parts=request.parts or PARTS[clock.device])
    precisions = request.precisions or default_precisions(clock.device)
    note("copies")
    bandwidth = copy_bandwidth(clock)
    rates = matrix_rates(clock, tuple(DTYPES) if clock.device == "cuda" else precisions, note)
    return Results(
        machine(clock.device),
        bandwidth,
        rates,
        tuple(_scans(request, precisions, clock, bandwidth, note)),
        tuple(_models(request, precisions, clock, note)),
        tuple(_trainings(request, precisions, clock, note)),
        tuple(_scenes(request, precisions, clock, note)),
        tuple(_polygons(request, note)),
    )


def _scans(
    request: Request, precisions: tuple[str, ...], clock: Clock, bandwidth: float, note: Note
) -> Iterator[ScanTimes]:
    if "scan" not in request.parts:
        return
    batch, others = request.batch or SCAN_BATCH, _others(request)
    for model in request.models or MODELS[clock.device]:
        stages = stages_of(sizes_of(model), request.size or SIZE)
        for precision in precisions:
            yield time_scan(model, stages, batch, precision, clock, bandwidth, others, note)


def _models(request: Request, precisions: tuple[str, ...], clock: Clock, note: Note) -> Iterator[ModelTimes]:
    if "model" not in request.parts:
        return
    size, batch, others = request.size or SIZE, request.batch or BATCHES[clock.device], _others(request)
    for model in request.models or MODELS[clock.device]:
        for precision in precisions:
            yield time_model(Setting(model, size, batch, precision), clock, others, note)


def _trainings(request: Request, precisions: tuple[str, ...], clock: Clock, note: Note) -> Iterator[TrainingTimes]:
    if "train" not in request.parts:
        return
    asked = request.parts == ("train",) and (request.batch or request.size)
    batches = ((request.batch or TRAINED[0][0], request.size or TRAINED[0][1]),) if asked else TRAINED
    for model in request.models or MODELS["cuda"]:
        for precision in precisions:
            if precision == NOT_TRAINED:
                continue
            for batch, size in batches:
                for passes in PASSES if clock.device == "cuda" else ("plain",):
                    yield time_training(Setting(model, size, batch, precision), passes, clock, note)


def _scenes(
    request: Request, precisions: tuple[str, ...], clock: Clock, note: Note
) -> Iterator[SceneTimes | ModelledTimes]:
    """On a CPU what is around the model, on a GPU runs with each model."""
    if "scene" not in request.parts:
        return
    size = request.size or SCENE_SIZE
    if clock.device == "cpu":
        yield time_scene(size, request.threads or SCENE_WORKERS, note)
        return
    batch, threads = request.batch or BATCHES[clock.device], request.threads or os.cpu_count() or 1
    for model in request.models or MODELS[clock.device]:
        for precision in precisions:
            yield time_with_model(Setting(model, SIZE, batch, precision), size, threads, clock, note)


def _polygons(request: Request, note: Note) -> Iterator[PolygonTimes]:
    """On the CPU wherever."""
    if "polygons" in request.parts:
        yield time_polygons(request.size or SCENE_SIZE, request.threads or SCENE_WORKERS, note)


def _others(request: Request) -> dict[str, Callable[..., Any]]:
    """What `other` names, under that name."""
    if request.other is None:
        return {}
    module, _, name = request.other.partition(":")
    try:
        return {request.other: getattr(importlib.import_module(module), name)}
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"--other {request.other}: give an importable module:function ({error})") from error
