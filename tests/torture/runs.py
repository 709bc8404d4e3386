"""Runs of `geofcs detect` that take a second: real scenes, real products, real journal, and a model that costs nothing.

The blocks run one after the other in the calling thread, or under Dask as they really do; bytes are the same.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

import geofcs.making  # noqa: F401, before runs are forked: a run imports it late, and that takes half of its time
from geofcs import detect
from geofcs.blocks import BlockJob, run_block
from geofcs.classes import SECOND
from geofcs.listener import Listener, Stop
from geofcs.model.interface import Scores
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.run import Compute
from geofcs.schedule.cluster import Cluster
from geofcs.schedule.outcome import Outcome
from geofcs.schedule.site import ThisMachine
from geofcs.schedule.stall import Patience
from geofcs.synthetic.write import Extent
from geofcs.tiles import Block
from tests.made import make_material

HEIGHT, WIDTH, TILE, OVERLAP = 540, 620, 128, 16


@dataclass(frozen=True)
class Material:
    """A scene pair and weights, on disk."""

    t1: Path
    t2: Path
    weights: Path

    def request(self, out: Path, *, overwrite: bool = False, workers: int = 1) -> DetectRequest:
        """All four rasters, with overviews, and polygons."""
        return DetectRequest(
            str(self.t1), str(self.t2), out, self.weights, tile=TILE, overlap=OVERLAP, threads=1, workers=workers,
            worker_kind="threads", landcover=True, overwrite=overwrite,
        )  # fmt: skip


def write_material(folder: Path) -> Material:
    """Scenes and weights, made once."""
    make_material(folder, Extent(HEIGHT, WIDTH), tile=TILE)
    return Material(folder / "t1.tif", folder / "t2.tif", folder / "w.safetensors")


@dataclass(frozen=True)
class CostlessSource:
    """Loads a `CostlessScorer`; says of itself what the plan wants to know of a model."""

    device: str = "cpu"
    precision: str = "fp32"
    tta: str = "none"

    weights: Path = Path("none")

    def load(self) -> CostlessScorer:
        """The scorer."""
        return CostlessScorer()

    def in_float32(self) -> None:
        """It is that already."""


class CostlessScorer:
    """Change and classes straight from colours, in blobs of some pixels."""

    device = torch.device("cpu")
    mean_colours = ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0))

    def check(self) -> None:
        """It has no weights."""

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        """Scores of a batch."""
        coarse1, coarse2 = (torch.nn.functional.avg_pool2d(each, 9, 1, 4) for each in (t1, t2))
        change = ((coarse1 - coarse2).abs().mean(1) / 40).clamp(0, 1)
        return Scores(change, *(_one_of(each[:, 1]) for each in (coarse1, coarse2)))


def _one_of(green: Tensor) -> Tensor:
    covers = len(SECOND.land_covers)
    chosen = (green / 256 * covers).long().clamp(0, covers - 1)
    return torch.nn.functional.one_hot(chosen, covers).movedim(-1, 1).float()


def plan_without_model(request: DetectRequest, site: ThisMachine | Cluster) -> DetectPlan:
    """The real plan, but for the model."""
    return replace(make_plan(request, site), source=CostlessSource())  # type: ignore[arg-type]


@dataclass(frozen=True)
class Watcher:
    """Tells a listener of tiles."""

    listener: Listener

    def tiles_done(self, count: int) -> None:
        """Pass it on."""
        self.listener.advance(count)

    def strip_done(self) -> None:
        """Nothing."""


def computed_in_turn(_site: ThisMachine | Cluster, _plan: DetectPlan, _stop: Stop, _patience: Patience) -> Compute:
    """What `computed_at` gives, without Dask."""

    def compute(job: BlockJob, blocks: Sequence[Block], listener: Listener) -> Outcome:
        return Outcome([run_block(job, block, Watcher(listener)) for block in blocks], [])

    return compute


def detect_without_model(request: DetectRequest, listener: Listener, *, by_threads: bool) -> None:
    """`geofcs detect`, all of it but the model."""
    with (
        mock.patch.object(detect, "make_plan", plan_without_model),
        mock.patch.object(detect, "computed_at", detect.computed_at if by_threads else computed_in_turn),
    ):
        detect.detect(request, listener)


Content = dict[str, str]


def content_of(out: Path) -> Content:
    """What must be equal of two runs: the bytes of all rasters, and everything in the GeoPackage but its date."""
    rasters = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.tif*"))}
    database = sqlite3.connect(f"{(out / 'changes.gpkg').as_uri()}?mode=ro", uri=True)
    dump = "\n".join(line for line in database.iterdump() if '"gpkg_contents"' not in line)
    database.close()
    return {**rasters, "changes.gpkg": hashlib.sha256(dump.encode()).hexdigest()}
