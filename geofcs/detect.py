"""The job: from two scenes to change rasters and polygons, as the list of its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from geofcs.blocks import BlockCounts
from geofcs.errors import InputError
from geofcs.journal import RUN_FILE, Journal, fingerprint, write_json
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.raster import products_of, write_products
from geofcs.report import described_outputs, versions
from geofcs.schedule import run_blocks
from geofcs.strips import strips_of
from geofcs.tiles import Block
from geofcs.vector import PolygonCounts, polygonize


class Listener(Protocol):
    """Who is told how a run gets on. Calls come from several threads, but never two at once for one stage."""

    def note(self, sentence: str) -> None:
        """Something the user should know."""
        ...

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        """A stage of `total` units begins."""
        ...

    def advance(self, units: int) -> None:
        """Some of the stage is done."""
        ...


def detect(request: DetectRequest, listener: Listener) -> dict[str, Any]:
    """Run `request` to its end and publish the output folder; returns the content of run.json.

    Raises a `GeofcsError`; then nothing stands under the output's name that did not stand there before, and the same
    request goes on from what was finished.
    """
    clock = Clock()
    journal = Journal(request.out)
    journal.check_free([Path(path) for path in (request.t1, request.t2, request.weights)], request.overwrite)
    with clock.stage("plan"):
        plan = make_plan(request)
    return carry_out(plan, request, journal, clock, listener)


def carry_out(
    plan: DetectPlan, request: DetectRequest, journal: Journal, clock: Clock, listener: Listener
) -> dict[str, Any]:
    """Everything after planning: tiles, rasters, polygons, run.json, publication."""
    _tell(plan, listener)
    if journal.begin(plan.as_json(), request.restart):
        listener.note(f"going on with the unfinished run in {journal.staging}")
    if journal.is_complete:
        journal.publish()
        return journal.read_run()
    blocks = plan.lattice.blocks(plan.workers)
    with clock.stage("tiles"):
        counts = _compute_strips(plan, journal, blocks, listener)
    with clock.stage("rasters"):
        _write_rasters(plan, journal, blocks, listener)
    with clock.stage("polygons"):
        polygons = _write_polygons(request, plan, journal, listener)
    run = _run_record(request, plan, clock, counts, polygons, journal.staging)
    write_json(journal.staging / RUN_FILE, run)
    journal.publish()
    return run


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def _tell(plan: DetectPlan, listener: Listener) -> None:
    for sentence in plan.pair.notes:
        listener.note(sentence)
    height, width = plan.pair.grid.shape
    listener.note(
        f"{width} x {height} pixels, {plan.lattice.count} tiles of {plan.lattice.tile}, overlap "
        f"{plan.lattice.rows.overlap}; {plan.weights.architecture} on {plan.source.device}, {plan.source.precision}, "
        f"batch {plan.batch}, {plan.workers} worker(s) of {plan.threads} thread(s)"
    )


def _compute_strips(plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener) -> BlockCounts:
    tiles = sum(plan.lattice.tiles_to_compute(block) for block in blocks)
    height, width = plan.pair.grid.shape
    listener.stage("tiles", tiles, "tiles", height * width / tiles)
    counts = BlockCounts.total(run_blocks(plan.job(journal.strips), blocks, plan.workers, listener.advance))
    if counts.tiles_scored == 0 and counts.strips_kept == 0:
        journal.discard()
        raise InputError("no pixel is valid on both dates: check --mask-t1, --mask-t2 and --aoi against the scenes")
    return counts


def _write_rasters(plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener) -> None:
    scheme, grid = plan.weights.classes, plan.pair.grid
    products = products_of(scheme, plan.landcover)
    strips = [strip for block in blocks for strip in strips_of(plan.lattice, block)]
    listener.stage("rasters", len(products) * grid.height * grid.width, "pixels", 1)
    write_products(journal.staging, products, journal.strips, strips, grid, scheme, listener.advance)


def _write_polygons(request: DetectRequest, plan: DetectPlan, journal: Journal, listener: Listener) -> PolygonCounts:
    grid = plan.pair.grid
    listener.stage("polygons", grid.height * grid.width, "pixels", 1)
    return polygonize(
        journal.staging / "change.tif",
        journal.staging / "changes.gpkg",
        probability=journal.staging / "probability.tif",
        scheme=plan.weights.classes,
        min_area=request.min_area,
        max_polygons=request.max_polygons,
        date_t1=request.date_t1 or plan.pair.t1.date,
        date_t2=request.date_t2 or plan.pair.t2.date,
        progress=listener.advance,
    )


def _run_record(
    request: DetectRequest,
    plan: DetectPlan,
    clock: Clock,
    counts: BlockCounts,
    polygons: PolygonCounts,
    staging: Path,
) -> dict[str, Any]:
    """The content of run.json."""
    as_json = plan.as_json()
    return {
        "started": clock.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "fingerprint": fingerprint(as_json),
        "plan": as_json,
        "weights": {"path": str(request.weights), "trained": plan.weights.trained},
        "workers": plan.workers,
        "polygons": {
            "min_area_m2": request.min_area,
            "max_polygons": request.max_polygons,
            "date_t1": request.date_t1 or plan.pair.t1.date,
            "date_t2": request.date_t2 or plan.pair.t2.date,
        },
        "notes": list(plan.pair.notes),
        "counts": {**asdict(counts), **asdict(polygons)},
        "seconds": clock.seconds,
        "outputs": described_outputs(staging),
    }
