"""The job: from two scenes to change rasters and polygons, as the list of its stages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from geofcs.blocks import BlockCounts, BlockJob, give_up, oddities_of
from geofcs.errors import ComputeError, IncompleteError, InputError
from geofcs.journal import Journal
from geofcs.listener import Listener, Stop, StoppableListener, never
from geofcs.lock import Lock, locked
from geofcs.model.shipped import said_of_shipped
from geofcs.oddities import Oddities
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.raster import Product, products_of, write_products
from geofcs.records import fingerprint
from geofcs.remote import parse_address
from geofcs.remote.address import ARCHIVES
from geofcs.report import versions
from geofcs.schedule import Cluster, Outcome, ThisMachine, run_blocks, site_of
from geofcs.space import Space
from geofcs.strips import strips_of
from geofcs.tiles import Block
from geofcs.vector import PolygonCounts, polygonize

Compute = Callable[[BlockJob, Sequence[Block], Listener], Outcome]
"""Has blocks computed by a crew."""


def detect(request: DetectRequest, listener: Listener, stop: Stop = never) -> dict[str, Any]:
    """Run `request` to its end and publish the output folder; returns the content of run.json.

    Raises a `GeofcsError`, a `StoppedError` soon after `stop` has said yes; then nothing stands under the output's name
    that did not stand there before, and the same request goes on from what was finished.
    """
    clock = Clock()
    listener = StoppableListener(listener, stop)
    with free_output(request) as (journal, lock), site_of(request.scheduler, listener) as site:
        with clock.stage("plan"):
            plan = make_plan(request, site)
        return carry_out(plan, request, journal, lock, clock, listener, computed_at(site, plan, stop))


@contextmanager
def free_output(request: DetectRequest) -> Iterator[tuple[Journal, Lock]]:
    """The journal of a request's output, locked, after a look at whether it may be written. Raises `OutputError`."""
    journal = Journal(request.out.resolve())
    with locked(journal.out) as lock:
        journal.settle()
        journal.check_free(inputs_of(request), request.overwrite)
        yield journal, lock


def check_complete(folder: Path, run: dict[str, Any]) -> None:
    """Raise `IncompleteError` if a finished run has tiles that failed."""
    failed = run["oddities"]["tiles_failed"]
    if failed:
        raise IncompleteError(
            f"{folder}: is complete but for {len(failed)} tile(s) that could not be computed and are nodata; "
            "run.json lists them"
        )


def inputs_of(request: DetectRequest) -> list[Path]:
    """Every path that the run reads; URLs and coordinates lie nowhere and harm nothing."""
    scene = request.scene
    named = (request.t1, request.t2, request.weights, scene.mask_t1, scene.mask_t2, scene.aoi)
    addresses = [parse_address(str(text), tuple(ARCHIVES)) for text in named if text is not None]
    return [Path(address.rest) for address in addresses if address.is_local]


def computed_at(site: ThisMachine | Cluster, plan: DetectPlan, stop: Stop) -> Compute:
    """Blocks computed by a crew that comes when there is something to do, and goes after it."""

    def compute(job: BlockJob, blocks: Sequence[Block], listener: Listener) -> Outcome:
        with site.team(plan.crew, plan.source.device) as team:
            return run_blocks(team, job, blocks, listener, stop)

    return compute


def carry_out(
    plan: DetectPlan,
    request: DetectRequest,
    journal: Journal,
    lock: Lock,
    clock: Clock,
    listener: Listener,
    compute: Compute,
) -> dict[str, Any]:
    """Everything after planning, from wherever the run had got: tiles, rasters, polygons, run.json, publication."""
    blocks = plan.lattice.blocks(plan.crew.in_flight)
    space = _space(request, plan, journal, blocks)
    _tell(plan, space.check(), listener)
    with space.explained():
        if journal.begin(plan.as_json(), request.restart):
            listener.note(f"going on with the unfinished run in {journal.staging}")
        run = journal.completed(polygon_options(request, plan))
        if run is None:
            run = journal.complete(_computed(plan, request, journal, space, blocks, clock, listener, compute))
        lock.check()
        journal.publish()
    return run


def _computed(
    plan: DetectPlan,
    request: DetectRequest,
    journal: Journal,
    space: Space,
    blocks: list[Block],
    clock: Clock,
    listener: Listener,
    compute: Compute,
) -> dict[str, Any]:
    """Make every product that is not finished; returns what run.json says, the outputs aside."""
    with clock.stage("tiles"):
        counts, oddities = _compute_strips(plan, journal, blocks, listener, compute)
        plan.pair.check_unchanged()
    with clock.stage("rasters"):
        space.check_rasters()
        _write_rasters(plan, journal, blocks, listener, anew=counts.strips_written > 0)
    with clock.stage("polygons"):
        polygons = _write_polygons(request, plan, journal, listener)
    return _run_record(request, plan, clock, counts, oddities, polygons)


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
        f"batch {plan.batch}, {plan.crew.sentence}; {of_space}"
    )


def _compute_strips(
    plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener, compute: Compute
) -> tuple[BlockCounts, Oddities]:
    tiles = sum(plan.lattice.tiles_to_compute(block) for block in blocks)
    height, width = plan.pair.grid.shape
    listener.stage("tiles", tiles, "tiles", height * width / tiles)
    job = plan.job(journal.strips(plan.as_json()))
    done = compute(job, blocks, listener)
    counts = BlockCounts.total([*done.counts, *_given_up(plan, job, done.lost, listener)])
    if counts.tiles_scored == 0 and counts.strips_kept == 0 and not done.lost:
        journal.discard()
        raise InputError("no pixel is valid on both dates: check --mask-t1, --mask-t2 and --aoi against the scenes")
    oddities = oddities_of(job, blocks)
    for sentence in oddities.sentences(plan.batch):
        listener.note(sentence)
    return counts, oddities


def _given_up(plan: DetectPlan, job: BlockJob, lost: list[Block], listener: Listener) -> list[BlockCounts]:
    """Make nodata of blocks that killed their workers, or raise `ComputeError` that names them."""
    if not lost:
        return []
    named = "; ".join(_named(plan, block) for block in lost)
    sentence = f"three workers died while computing the block(s) at {named}: too little memory, or a broken device"
    if not job.failed_become_nodata:
        raise ComputeError(
            f"{sentence}; all others are finished: give the same command again, with more memory or fewer --workers, "
            "or with --on-tile-error nodata to leave out what cannot be computed"
        )
    listener.note(sentence)
    counts = [give_up(job, block) for block in lost]
    for block in lost:
        listener.advance(plan.lattice.tiles_to_compute(block))
    return counts


def _named(plan: DetectPlan, block: Block) -> str:
    top, bottom = plan.lattice.rows.owned(block.first_row, block.stop_row)
    left, right = plan.lattice.cols.owned(block.first_col, block.stop_col)
    return f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"


def _write_rasters(plan: DetectPlan, journal: Journal, blocks: list[Block], listener: Listener, *, anew: bool) -> None:
    """Rasters that are not finished, or all where strips were written since (tiles had failed, and now must not)."""
    scheme, grid = plan.weights.classes, plan.pair.grid
    products = products_of(scheme, plan.landcover)
    strips = [strip for block in blocks for strip in strips_of(plan.lattice, block)]
    listener.stage("rasters", len(products) * grid.height * grid.width, "pixels", 1)
    finished = [product for product in products if not anew and journal.is_finished(product.files)]
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
    options = polygon_options(request, plan)
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
    """Rasters and polygons take as many threads as tiles did; where a GPU or a cluster did these, one per core."""
    elsewhere = plan.source.device != "cpu" or plan.crew.kind == "cluster"
    return os.cpu_count() or 1 if elsewhere else plan.crew.in_flight * plan.crew.threads


def polygon_options(request: DetectRequest, plan: DetectPlan) -> dict[str, Any]:
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
    oddities: Oddities,
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
        "crew": asdict(plan.crew),
        "on_tile_error": plan.on_tile_error,
        "oddities": oddities.as_json(),
        "polygons": polygon_options(request, plan),
        "notes": list(plan.pair.notes),
        "counts": {**asdict(counts), **asdict(polygons)},
        "seconds": clock.seconds,
    }
