"""From what the user asked for to a plan: everything that decides the bytes of the rasters, settled beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from geofcs.blocks import BlockJob
from geofcs.crew import Crew, Need
from geofcs.devices import Compute
from geofcs.errors import InputError, UsageError
from geofcs.model.memory import activation_bytes
from geofcs.model.weights import WeightsInfo, read_weights_info
from geofcs.records import Plan
from geofcs.report import decisive_versions
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.scoring import ModelSource, checked_tta
from geofcs.tiles import Block, Lattice

OVERLAP_SHARE = 8
"""The default overlap is the tile divided by this: docs/concepts.md shows what more or less of it does."""

DEFAULT_THREADS = 1
"""Threads per model call: workers use the other cores, and single threads never wait for one that lost its core."""

DEFAULT_BATCH = {"cpu": 1, "mps": 1, "cuda": 8}

FAIL, NODATA = "fail", "nodata"
"""What happens to tiles that cannot be computed (`on_tile_error`)."""


@dataclass(frozen=True)
class DetectRequest:
    """What `geofcs detect` was asked for; None means "the default".

    `stall`: seconds without a tile after which the run is ended; None: never.
    """

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
    worker_kind: str = "auto"
    scheduler: str | None = None
    on_tile_error: str = FAIL
    stall: float | None = None
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
    kernel: str
    crew: Crew
    threshold: float
    landcover: bool
    on_tile_error: str

    @property
    def blocks(self) -> list[Block]:
        """What its crew computes.

        Where all share one GPU a block each is enough, if that leaves nobody out: all are as fast, and end together.
        """
        alike = self.lattice.blocks(self.crew.in_flight, per_worker=1)
        share_a_gpu = self.source.device != "cpu" and self.crew.processes == 1 and self.crew.kind != "cluster"
        if share_a_gpu and len(alike) % self.crew.in_flight == 0:
            return alike
        return self.lattice.blocks(self.crew.in_flight)

    def job(self, strips: Path) -> BlockJob:
        """What the blocks of this plan need to know."""
        return BlockJob(
            self.pair, self.lattice, self.weights.classes, self.source, self.batch, self.crew.threads, self.threshold,
            self.landcover, strips, self.on_tile_error == NODATA,
        )  # fmt: skip

    def as_json(self) -> Plan:
        """The plan as it is compared when a run is taken up again: equal plans give equal bytes."""
        return {
            "versions": decisive_versions(),
            "scenes": self.pair.describe(),
            "tiles": {"tile": self.lattice.tile, "overlap": self.lattice.rows.overlap},
            "weights": {"sha256": self.weights.sha256, "architecture": self.weights.architecture},
            "compute": {
                "device": self.source.device,
                "precision": self.source.precision,
                "tta": self.source.tta,
                "batch": self.batch,
                "threads": self.crew.threads,
                "kernel": self.kernel,
            },
            "products": {"threshold": self.threshold, "landcover": self.landcover},
        }


class Site(Protocol):
    """Where blocks are computed: this machine, or a cluster."""

    def settle(self, device: str, precision: str) -> Compute:
        """What the device and the precision that were asked for come to there."""
        ...

    def crew(self, request: DetectRequest, compute: Compute, need: Need) -> Crew:
        """Who does the work of a request, once it is known what it computes on and what a block needs."""
        ...


def make_plan(request: DetectRequest, site: Site) -> DetectPlan:
    """Settle a request; the scenes come first, so that two places far apart are told before anything is loaded.

    Raises `InputError` for whatever cannot be worked with.
    """
    if not 0 < request.threshold < 1:
        raise UsageError(f"--threshold {request.threshold}: is no probability: give a number between 0 and 1")
    if request.on_tile_error not in (FAIL, NODATA):
        raise UsageError(f"--on-tile-error {request.on_tile_error}: say {FAIL} or {NODATA}")
    pair = plan_pair(request.t1, request.t2, request.scene)
    info = read_weights_info(request.weights)
    if request.landcover and info.classes.is_binary:
        raise InputError(f"{request.weights}: is a binary model and knows no land cover: leave out --landcover")
    compute = site.settle(request.device, request.precision)
    tile = request.tile or info.tile
    overlap = tile // OVERLAP_SHARE if request.overlap is None else request.overlap
    lattice = Lattice.over(pair.grid.height, pair.grid.width, tile, overlap)
    batch = request.batch or DEFAULT_BATCH[compute.device]
    need = Need(
        request.threads or DEFAULT_THREADS,
        activation_bytes(info.config, tile, batch),
        tile,
        isolate=request.on_tile_error == NODATA,
    )
    return DetectPlan(
        pair=pair,
        lattice=lattice,
        weights=info,
        source=ModelSource(
            request.weights.absolute(), info.sha256, compute.device, compute.precision, checked_tta(request.tta)
        ),
        batch=batch,
        kernel=compute.kernel,
        crew=site.crew(request, compute, need),
        threshold=request.threshold,
        landcover=request.landcover,
        on_tile_error=request.on_tile_error,
    )
