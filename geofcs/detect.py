"""The job: from two scenes to change rasters and polygons, as the list of its stages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from geofcs.blocks import BlockCounts
from geofcs.errors import InputError
from geofcs.journal import Journal
from geofcs.lock import Lock, locked
from geofcs.model.shipped import said_of_shipped
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.raster import Product, products_of, write_products
from geofcs.records import fingerprint
from geofcs.report import versions
from geofcs.schedule import run_blocks
from geofcs.space import Space
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
    journal = Journal(request.out.resolve())
    with locked(journal.out) as lock:
        journal.settle()
        journal.check_free(_inputs(request), request.overwrite)
        with clock.stage("plan"):
            plan = make_plan(request)
        return carry_out(plan, request, journal, lock, clock, listener)


def _inputs(request: DetectRequest) -> list[Path]:
    """Every path that the run reads; URLs and coordinates lie nowhere and harm nothing."""
    scene = request.scene
    named = (request.t1, request.t2, request.weights, scene.mask_t1, scene.mask_t2, scene.aoi)
    return [Path(path) for path in named if path is not None]


def carry_out(
    plan: DetectPlan, request: DetectRequest, journal: Journal, lock: Lock, clock: Clock, listener: Listener
) -> dict[str, Any]:
    """Everything after planning, from wherever the run had got: tiles, rasters, polygons, run.json, publication."""
    blocks = plan.lattice.blocks(plan.workers)
    space = _space(request, plan, journal, blocks)
    _tell(plan, space.check(), listener)
    with space.explained():
        if journal.begin(plan.as_json(), request.restart):
            listener.note(f"going on with the unfinished run in {journal.staging}")
        run = journal.completed(_polygon_options(request, plan))
        if run is None:
            run = journal.complete(_computed(plan, request, journal, blocks, clock, listener))
        lock.check()
        journal.publish()
    return run


def _computed(
    plan: DetectPlan, request: DetectRequest, journal: Journal, blocks: list[Block], clock: Clock, listener: Listener
) -> dict[str, Any]:
    """Make every product that is not finished; returns what run.json says, the outputs aside."""
    with clock.stage("tiles"):
        counts = _compute_strips(plan, journal, blocks, listener)
    with clock.stage("rasters"):
        _write_rasters(plan, journal, blocks, listener)
    with clock.stage("polygons"):
        polygons = _write_polygons(request, plan, journal, listener)
    return _run_record(request, plan, clock, counts, polygons)


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


def _space(request: DetectRequest, plan: DetectPlan, journal: Journal, blocks: list[Block]) -> Space:
    pixels, value = plan.pair.grid.height * plan.pair.grid.width, plan.weights.classes.code_dtype.itemsize
    products = products_of(plan.weights.classes, plan.landcover)
    return Space(
        journal.staging,
        strips=pixels * value * len(products),
        rasters=pixels * sum(np.dtype(product.dtype).itemsize for product in products),
        polygons=min(pixels, request.max_polygons),
        pieces=sum(len(strips_of(plan.lattice, block)) for block in blocks),
    )


def _tell(plan: DetectPlan, of_space: str, listener: Listener) -> None:
    for sentence in (*said_of_shipped(plan.source.weights, plan.weights), *plan.pair.notes):
        listener.note(sentence)
    height, width = plan.pair.grid.shape
    listener.note(
        f"{width} x {height} pixels, {plan.lattice.count} tiles of {plan.lattice.tile}, overlap "
        f"{plan.lattice.rows.overlap}; {plan.weights.architecture} on {plan.source.device}, {plan.source.precision}, "
        f"batch {plan.batch}, {plan.workers} worker(s) of {plan.threads} thread(s); {of_space}"
    )


def _compute_strips(plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener) -> BlockCounts:
    tiles = sum(plan.lattice.tiles_to_compute(block) for block in blocks)
    height, width = plan.pair.grid.shape
    listener.stage("tiles", tiles, "tiles", height * width / tiles)
    counts = BlockCounts.total(
        run_blocks(plan.job(journal.strips(plan.as_json())), blocks, plan.workers, listener.advance)
    )
    if counts.tiles_scored == 0 and counts.strips_kept == 0:
        journal.discard()
        raise InputError("no pixel is valid on both dates: check --mask-t1, --mask-t2 and --aoi against the scenes")
    return counts


def _write_rasters(plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener) -> None:
    scheme, grid = plan.weights.classes, plan.pair.grid
    products = products_of(scheme, plan.landcover)
    strips = [strip for block in blocks for strip in strips_of(plan.lattice, block)]
    listener.stage("rasters", len(products) * grid.height * grid.width, "pixels", 1)
    finished = [product for product in products if journal.is_finished(product.files)]
    listener.advance(len(finished) * grid.height * grid.width)

    def finish(product: Product) -> None:
        journal.finish(product.files)

    write_products(
        journal.staging, [product for product in products if product not in finished], journal.strips(plan.as_json()),
        strips, grid, scheme, listener.advance, finish, _threads_for_files(plan),
    )  # fmt: skip


def _write_polygons(request: DetectRequest, plan: DetectPlan, journal: Journal, listener: Listener) -> PolygonCounts:
    grid = plan.pair.grid
    listener.stage("polygons", grid.height * grid.width, "pixels", 1)
    options = _polygon_options(request, plan)
    counts = polygonize(
        journal.staging / "change.tif",
        journal.staging / "changes.gpkg",
        probability=journal.staging / "probability.tif",
        scheme=plan.weights.classes,
        min_area=request.min_area,
        max_polygons=request.max_polygons,
        date_t1=options["date_t1"],
        date_t2=options["date_t2"],
        threads=_threads_for_files(plan),
        progress=listener.advance,
    )
    journal.finish(["changes.gpkg"])
    return counts


def _threads_for_files(plan: DetectPlan) -> int:
    """Rasters and polygons take as many threads as tiles did, or where a GPU did these, as the machine has cores."""
    return plan.workers * plan.threads if plan.source.device == "cpu" else os.cpu_count() or 1


def _polygon_options(request: DetectRequest, plan: DetectPlan) -> dict[str, Any]:
    """What decides the polygons beyond the plan."""
    return {
        "min_area_m2": request.min_area,
        "max_polygons": request.max_polygons,
        "date_t1": request.date_t1 or plan.pair.t1.date,
        "date_t2": request.date_t2 or plan.pair.t2.date,
    }


def _run_record(
    request: DetectRequest,
    plan: DetectPlan,
    clock: Clock,
    counts: BlockCounts,
    polygons: PolygonCounts,
) -> dict[str, Any]:
    """The content of run.json but for the outputs."""
    as_json = plan.as_json()
    return {
        "started": clock.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "fingerprint": fingerprint(as_json),
        "plan": as_json,
        "weights": {"path": str(request.weights), "trained": plan.weights.trained},
        "workers": plan.workers,
        "polygons": _polygon_options(request, plan),
        "notes": list(plan.pair.notes),
        "counts": {**asdict(counts), **asdict(polygons)},
        "seconds": clock.seconds,
    }
