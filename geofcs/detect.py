"""`geofcs detect`: from two scenes to change rasters and polygons, in an output that nobody else writes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofcs.blocks import BlockJob
from geofcs.errors import IncompleteError
from geofcs.journal import Journal
from geofcs.listener import Listener, Stop, never, stoppable
from geofcs.lock import Lock, locked
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.remote import parse_address
from geofcs.remote.address import ARCHIVES
from geofcs.run import Clock, Compute, Run, carry_out
from geofcs.schedule.outcome import Outcome
from geofcs.schedule.site import ThisMachine, site_of
from geofcs.schedule.stall import ENDLESS, Patience
from geofcs.tiles import Block

if TYPE_CHECKING:
    from geofcs.schedule.cluster import Cluster


def detect(request: DetectRequest, listener: Listener, stop: Stop = never) -> dict[str, Any]:
    """Run `request` to its end and publish the output folder; returns the content of run.json.

    Raises a `GeofcsError`, a `StoppedError` soon after `stop` has said yes; then nothing stands under the output's name
    that did not stand there before, and the same request goes on from what was finished.
    """
    clock = Clock()
    listener = stoppable(listener, stop)
    with free_output(request) as (journal, lock), site_of(request.scheduler, listener) as site:
        with clock.stage("plan"):
            plan = make_plan(request, site)
        compute = computed_at(site, plan, stop, Patience(ended=request.stall))
        return carry_out(Run(request, plan, journal, lock, clock, listener, compute))


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


def computed_at(site: ThisMachine | Cluster, plan: DetectPlan, stop: Stop, patience: Patience = ENDLESS) -> Compute:
    """Blocks computed by a crew that comes when there is something to do, and goes after it."""

    def compute(job: BlockJob, blocks: Sequence[Block], listener: Listener) -> Outcome:
        with site.team(plan.crew, plan.source.device) as team:
            return team.run(job, blocks, listener, stop, patience)

    return compute
