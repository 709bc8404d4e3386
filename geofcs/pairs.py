"""Several pairs in one go: all of them planned first, then one after the other with models loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofcs.blocks import BlockJob
from geofcs.detect import check_complete, free_output, inputs_of
from geofcs.errors import GeofcsError, LostGpuError, StalledError, StoppedError
from geofcs.journal import RUN_FILE, Journal
from geofcs.listener import Listener, Stop, stoppable
from geofcs.listing import Row, refuse
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.records import fingerprint, read_sealed
from geofcs.remote import parse_address
from geofcs.remote.address import ARCHIVES
from geofcs.run import Clock, Run, carry_out, polygon_options
from geofcs.schedule.outcome import Outcome
from geofcs.schedule.site import ThisMachine, site_of
from geofcs.schedule.stall import Patience
from geofcs.tiles import Block

if TYPE_CHECKING:
    from geofcs.schedule.cluster import Cluster

BY_SEVERITY = (0, 7, 3, 4, 5, 6, 8)
"""Exit codes from "all is well" to the worst."""


@dataclass(frozen=True)
class Planned:
    """A row that can be run, and the clock that its planning ran on."""

    row: Row
    plan: DetectPlan
    clock: Clock
    is_finished: bool


@dataclass(frozen=True)
class PairResult:
    """How a pair ended: the content of its run.json, or the error; neither where it was finished before."""

    row: Row
    run: dict[str, Any] | None = None
    error: GeofcsError | None = None


def detect_pairs(rows: Sequence[Row], listing: Path, listener: Listener, stop: Stop) -> list[PairResult]:
    """Run each row of a list; one that fails does not stop the others.

    Everything is planned first: `InputError` tells all that is wrong in the list, before anything is computed. Rows
    whose output is finished, by the same plan, are left alone, so that the same command goes on after an interruption.
    Raises `StoppedError` soon after `stop` has said yes, and `StalledError` and `LostGpuError`: what hangs would keep
    workers from the rows that are left, and nothing can be computed on a GPU that is lost to this process.
    """
    listener = stoppable(listener, stop)
    with site_of(rows[0].request.scheduler, listener) as site:
        planned = _all_planned(rows, listing, site)
        results = [PairResult(each.row) for each in planned if each.is_finished]
        left = [each for each in planned if not each.is_finished]
        if left:
            results += _run(left, site, listener, stop)
    return sorted(results, key=lambda result: result.row.line)


def _run(left: list[Planned], site: ThisMachine | Cluster, listener: Listener, stop: Stop) -> list[PairResult]:
    patience = Patience(ended=left[0].row.request.stall)
    crew = max((each.plan.crew for each in left), key=lambda crew: crew.in_flight)
    with site.team(crew, left[0].plan.source.device) as team:

        def compute(job: BlockJob, blocks: Sequence[Block], listener: Listener) -> Outcome:
            return team.run(job, blocks, listener, stop, patience)

        results = []
        for number, each in enumerate(left):
            request = each.row.request
            scenes = (parse_address(scene, tuple(ARCHIVES)).shown for scene in (request.t1, request.t2))
            listener.note(f"pair {number + 1} of {len(left)}, {each.row.name}: {', '.join(scenes)}")
            try:
                with free_output(request) as (journal, lock):
                    run = carry_out(Run(request, each.plan, journal, lock, each.clock, listener, compute))
                check_complete(request.out, run)
                results.append(PairResult(each.row, run))
            except (StoppedError, StalledError, LostGpuError):
                raise
            except GeofcsError as error:
                results.append(PairResult(each.row, error=error))
    return results


def exit_code_of(results: Sequence[PairResult]) -> int:
    """The worst of all pairs' exit codes."""
    codes = [result.error.exit_code if result.error else 0 for result in results]
    return max(codes, key=BY_SEVERITY.index)


def _all_planned(rows: Sequence[Row], listing: Path, site: ThisMachine | Cluster) -> list[Planned]:
    planned, problems = [], []
    for row in rows:
        try:
            planned.append(_planned(row, site))
        except GeofcsError as error:
            problems.append(f"line {row.line}: {error}")
    refuse(listing, problems)
    return planned


def _planned(row: Row, site: ThisMachine | Cluster) -> Planned:
    clock, journal = Clock(), Journal(row.request.out.resolve())
    with clock.stage("plan"):
        plan = make_plan(row.request, site)
    if journal.is_published and not row.request.overwrite and _is_of(journal, row.request, plan):
        return Planned(row, plan, clock, is_finished=True)
    journal.check_free(inputs_of(row.request), row.request.overwrite)
    return Planned(row, plan, clock, is_finished=False)


def _is_of(journal: Journal, request: DetectRequest, plan: DetectPlan) -> bool:
    """Whether a finished output is what a request asks for."""
    run = read_sealed(journal.out / RUN_FILE)
    return bool(run["fingerprint"] == fingerprint(plan.as_json()) and run["polygons"] == polygon_options(request, plan))
