"""The stages of a run: from a plan to published products, from wherever an earlier attempt had got."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from geofcs.blocks import BlockCounts, BlockJob, give_up, oddities_of
from geofcs.errors import ComputeError, InputError
from geofcs.journal import Journal, as_output_error
from geofcs.libraries import loading
from geofcs.listener import CheckedListener, Listener
from geofcs.lock import Lock
from geofcs.meanwhile import MadeMeanwhile, making_meanwhile
from geofcs.model.shipped import said_of_shipped
from geofcs.mosaic import Mosaic
from geofcs.oddities import Oddities
from geofcs.plan import DetectPlan, DetectRequest
from geofcs.product import Product, products_of
from geofcs.records import fingerprint, lasting
from geofcs.schedule.outcome import Outcome
from geofcs.space import NowAndThen, Space
from geofcs.strips import Strip, strips_of
from geofcs.tiles import Block
from geofcs.vector.counts import PolygonCounts
from geofcs.wanted import POLYGONS, Wanted

if TYPE_CHECKING:
    from geofcs.making import Making

Compute = Callable[[BlockJob, Sequence[Block], Listener], Outcome]
"""Has blocks computed by a crew."""


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


@dataclass(frozen=True)
class Run:
    """A request with its plan, the output it has locked, and who computes it, times it and is told."""

    request: DetectRequest
    plan: DetectPlan
    journal: Journal
    lock: Lock
    clock: Clock
    listener: Listener
    compute: Compute

    @property
    def strips(self) -> list[Strip]:
        """What its blocks write."""
        return [strip for block in self.plan.blocks for strip in strips_of(self.plan.lattice, block)]

    @property
    def products(self) -> list[Product]:
        """The rasters that it makes."""
        return products_of(self.plan.weights.classes, self.plan.landcover)

    @property
    def pixels(self) -> int:
        """Of the grid."""
        return self.plan.pair.grid.height * self.plan.pair.grid.width


def carry_out(run: Run) -> dict[str, Any]:
    """Everything after planning: tiles, rasters, polygons, run.json, publication; returns the content of run.json."""
    journal, space = run.journal, _space(run)
    _tell(run, space.check())
    with space.explained():
        if journal.begin(run.plan.as_json(), run.request.restart):
            run.listener.note(f"going on with the unfinished run in {journal.staging}")
        record = journal.completed(polygon_options(run.request, run.plan))
        if record is None:
            record = journal.complete(_computed(run, space))
        run.lock.check()
        journal.publish()
    return record


def _computed(run: Run, space: Space) -> dict[str, Any]:
    """Make every product that is not finished; returns what run.json says, the outputs aside."""
    made_before = {name for product in run.products for name in product.files} <= set(run.journal.finished())
    check_room: Callable[[], None] = (lambda: None) if made_before else space.check_rasters
    with _making(run) as making:
        with run.clock.stage("tiles"):
            counts, oddities = _compute_strips(run, making, check_room)
            run.plan.pair.check_unchanged()
        with run.clock.stage("rasters"):
            check_room()
            _write_rasters(run, making, anew=counts.strips_written > 0)
        with run.clock.stage("polygons"):
            polygons = _write_polygons(run, making)
        return _record(run, counts, oddities, polygons, making.versions())


def _making(run: Run) -> AbstractContextManager[Making | MadeMeanwhile]:
    """The products, under way at once where the cores of this machine are free while tiles are computed.

    What an earlier attempt has left is looked through first: some of it may have to be computed again.
    """
    fresh = not any(run.journal.strips(run.plan.as_json()).iterdir())
    if fresh and _computes_elsewhere(run.plan) and os.name == "posix":
        return making_meanwhile(_wanted(run))

    with loading():
        from geofcs.making import Making  # brings what writes polygons, which takes a second: not where others do

    return Making(_wanted(run))


def _wanted(run: Run) -> Wanted:
    plan, options = run.plan, polygon_options(run.request, run.plan)
    return Wanted(
        run.journal.staging,
        run.products,
        Mosaic(run.journal.strips(plan.as_json()), run.strips),
        plan.pair.grid,
        plan.weights.classes,
        _threads_for_files(plan),
        run.clock.started.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        {
            "min_area": options["min_area_m2"],
            **{name: options[name] for name in ("max_polygons", "date_t1", "date_t2")},
        },
    )


def _space(run: Run) -> Space:
    value = run.plan.weights.classes.code_dtype.itemsize
    return Space(
        run.journal.staging,
        strips=run.pixels * value * len(run.products),
        rasters=run.pixels * sum(np.dtype(product.dtype).itemsize for product in run.products),
        polygons=min(run.pixels, run.request.max_polygons),
        pieces=len(run.strips),
    )


def _tell(run: Run, of_space: str) -> None:
    plan = run.plan
    for sentence in (*said_of_shipped(plan.source.weights, plan.weights), *plan.pair.notes):
        run.listener.note(sentence)
    height, width = plan.pair.grid.shape
    run.listener.note(
        f"{width} x {height} pixels, {plan.lattice.count} tiles of {plan.lattice.tile}, overlap "
        f"{plan.lattice.rows.overlap}; {plan.weights.architecture} on {plan.source.device}, {plan.source.precision}, "
        f"batch {plan.batch}, {plan.crew.sentence}; {of_space}"
    )


def _compute_strips(
    run: Run, making: Making | MadeMeanwhile, check_room: Callable[[], None]
) -> tuple[BlockCounts, Oddities]:
    """Compute what strips are missing; ends as soon as the disk has no room for what is to be made of them."""
    plan, listener, blocks = run.plan, run.listener, run.plan.blocks
    tiles = sum(plan.lattice.tiles_to_compute(block) for block in blocks)
    listener.stage("tiles", tiles, "tiles", run.pixels / tiles)
    job = plan.job(run.journal.strips(plan.as_json()))
    done = run.compute(job, blocks, CheckedListener(listener, NowAndThen(check_room)))
    counts = BlockCounts.total([*done.counts, *_given_up(plan, job, done.lost, listener)])
    if counts.tiles_scored == 0 and counts.strips_kept == 0 and not done.lost:
        making.abandon()
        run.journal.discard()
        raise InputError("no pixel is valid on both dates: check --mask-t1, --mask-t2 and --aoi against the scenes")
    making.all_strips_are_there()
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
        cure = "on workers with more memory" if plan.crew.kind == "cluster" else "with more memory or fewer --workers"
        raise ComputeError(
            f"{sentence}; all others are finished: give the same command again, {cure}, or with --on-tile-error nodata "
            "to leave out what cannot be computed"
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


def _write_rasters(run: Run, making: Making | MadeMeanwhile, *, anew: bool) -> None:
    """Rasters that are not finished, or all where strips were written since (tiles had failed, and now must not)."""
    journal, products = run.journal, run.products
    run.listener.stage("rasters", len(products) * run.pixels, "pixels", 1)
    finished = [product for product in products if not anew and journal.is_finished(product.files)]
    run.listener.advance(len(finished) * run.pixels)
    unfinished = [product for product in products if product not in finished]
    making.begin(unfinished)
    making.finish_rasters(run.listener.advance, journal.finish)


def _write_polygons(run: Run, making: Making | MadeMeanwhile) -> PolygonCounts:
    run.listener.stage("polygons", run.pixels, "pixels", 1)
    counts = making.finish_polygons(run.listener.advance)
    with as_output_error(run.journal.staging):
        run.journal.finish(lasting(run.journal.staging, [POLYGONS]))
    return counts


def _threads_for_files(plan: DetectPlan) -> int:
    """Rasters and polygons take as many as tiles did; where a GPU or a cluster did these, one per core."""
    return os.cpu_count() or 1 if _computes_elsewhere(plan) else plan.crew.in_flight * plan.crew.threads


def _computes_elsewhere(plan: DetectPlan) -> bool:
    return plan.source.device != "cpu" or plan.crew.kind == "cluster"


def polygon_options(request: DetectRequest, plan: DetectPlan) -> dict[str, Any]:
    """What decides the polygons beyond the plan."""
    return {
        "min_area_m2": request.min_area,
        "max_polygons": request.max_polygons,
        "date_t1": request.date_t1 or plan.pair.t1.date,
        "date_t2": request.date_t2 or plan.pair.t2.date,
    }


def _record(
    run: Run, counts: BlockCounts, oddities: Oddities, polygons: PolygonCounts, versions: dict[str, str]
) -> dict[str, Any]:
    """The content of run.json but for the outputs."""
    request, plan = run.request, run.plan
    as_json = plan.as_json()
    return {
        "started": run.clock.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "fingerprint": fingerprint(as_json),
        "plan": as_json,
        "weights": {"path": str(request.weights), "trained": plan.weights.trained},
        "crew": asdict(plan.crew),
        "on_tile_error": plan.on_tile_error,
        "oddities": oddities.as_json(),
        "polygons": polygon_options(request, plan),
        "notes": list(plan.pair.notes),
        "counts": {**asdict(counts), **asdict(polygons)},
        "seconds": run.clock.seconds,
    }
