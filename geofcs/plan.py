"""From what the user asked for to a plan: everything that decides the bytes of the rasters, settled beforehand."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from geofcs.blocks import BlockJob
from geofcs.errors import InputError
from geofcs.model.config import activation_bytes
from geofcs.model.kernels import choice_for
from geofcs.model.weights import WeightsInfo, read_weights_info
from geofcs.records import Plan
from geofcs.report import versions
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.scoring import ModelSource, checked_tta, chosen_device, chosen_precision
from geofcs.tiles import Lattice

OVERLAP_SHARE = 8
"""The default overlap is the tile divided by this: docs/concepts.md shows what more or less of it does."""

DEFAULT_THREADS = 1
"""Threads per model call: workers use the other cores, and single threads never wait for one that lost its core."""

DEFAULT_BATCH = {"cpu": 1, "mps": 1, "cuda": 8}

DECISIVE = ("geofcs", "torch", "gdal of rasterio")
"""Whose version has a say in the bytes: of two halves of a run both must be made by the same."""

MEMORY_SHARE = 0.8
"""Share of the free memory that tiles may take."""


@dataclass(frozen=True)
class DetectRequest:
    """What `geofcs detect` was asked for; None means "the default"."""

    t1: str
    t2: str
    out: Path
    weights: Path
    scene: SceneOptions = field(default_factory=SceneOptions)
    tile: int | None = None
    overlap: int | None = None
    threshold: float = 0.5
    batch: int | None = None
    device: str = "auto"
    precision: str = "auto"
    tta: str = "none"
    threads: int | None = None
    workers: int | None = None
    landcover: bool = False
    min_area: float = 0.0
    max_polygons: int = 5_000_000
    date_t1: str | None = None
    date_t2: str | None = None
    overwrite: bool = False
    restart: bool = False


@dataclass(frozen=True)
class DetectPlan:
    """A request settled: the scenes on their grid, the lattice, the model and how it is called."""

    pair: ScenePair
    lattice: Lattice
    weights: WeightsInfo
    source: ModelSource
    batch: int
    threads: int
    workers: int
    threshold: float
    landcover: bool

    def job(self, strips: Path) -> BlockJob:
        """What the blocks of this plan need to know."""
        return BlockJob(
            self.pair, self.lattice, self.weights.classes, self.source, self.batch, self.threads, self.threshold,
            self.landcover, strips,
        )  # fmt: skip

    def as_json(self) -> Plan:
        """The plan as it is compared when a run is taken up again: equal plans give equal bytes."""
        return {
            "versions": {name: version for name, version in versions().items() if name in DECISIVE},
            "scenes": self.pair.describe(),
            "tiles": {"tile": self.lattice.tile, "overlap": self.lattice.rows.overlap},
            "weights": {"sha256": self.weights.sha256, "architecture": self.weights.architecture},
            "compute": {
                "device": self.source.device,
                "precision": self.source.precision,
                "tta": self.source.tta,
                "batch": self.batch,
                "threads": self.threads,
                "kernel": choice_for(self.source.device).name,
            },
            "products": {"threshold": self.threshold, "landcover": self.landcover},
        }


def make_plan(request: DetectRequest) -> DetectPlan:
    """Settle a request; the scenes come first, so that two places far apart are told before anything is loaded.

    Raises `InputError` for whatever cannot be worked with.
    """
    if not 0 < request.threshold < 1:
        raise InputError(f"--threshold {request.threshold}: is a probability between 0 and 1")
    pair = plan_pair(request.t1, request.t2, request.scene)
    info = read_weights_info(request.weights)
    if request.landcover and info.classes.is_binary:
        raise InputError(f"{request.weights}: is a binary model and knows no land cover: leave out --landcover")
    device = chosen_device(request.device)
    precision = chosen_precision(request.precision, device)
    tile = request.tile or info.tile
    overlap = tile // OVERLAP_SHARE if request.overlap is None else request.overlap
    batch = request.batch or DEFAULT_BATCH[device]
    threads = request.threads or DEFAULT_THREADS
    return DetectPlan(
        pair=pair,
        lattice=Lattice.over(pair.grid.height, pair.grid.width, tile, overlap),
        weights=info,
        source=ModelSource(request.weights, info.sha256, device, precision, checked_tta(request.tta)),
        batch=batch,
        threads=threads,
        workers=_workers(request.workers, device, threads, activation_bytes(info.config, tile, batch), tile),
        threshold=request.threshold,
        landcover=request.landcover,
    )


def _workers(wanted: int | None, device: str, threads: int, bytes_per_worker: int, tile: int) -> int:
    """The number of workers: as asked for, or as many as cores and memory allow; one per GPU.

    Raises `InputError` when not even the tiles of the workers asked for (one, by default) fit into memory.
    """
    if device != "cpu":
        return wanted or 1
    free = int(MEMORY_SHARE * psutil.virtual_memory().available)
    affordable = free // bytes_per_worker
    if affordable < (wanted or 1):
        raise InputError(
            f"--tile {tile}: {wanted or 1} worker(s) need about {_gib(bytes_per_worker * (wanted or 1))} of memory, "
            f"{_gib(free)} can be used: use a smaller --tile, --batch or fewer --workers"
        )
    return wanted or max(1, min(affordable, (os.cpu_count() or 1) // threads))


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
