"""Several pairs in one go: a list of them read and checked whole, then one after the other with models loaded once."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geofcs.blocks import BlockJob
from geofcs.detect import check_complete, free_output, inputs_of
from geofcs.errors import GeofcsError, InputError, StoppedError
from geofcs.journal import RUN_FILE, Journal
from geofcs.listener import Listener, Stop, StoppableListener
from geofcs.plan import DetectPlan, DetectRequest, make_plan
from geofcs.records import fingerprint, read_sealed
from geofcs.remote import parse_address, stem_of
from geofcs.remote.address import ARCHIVES
from geofcs.run import Clock, Run, carry_out, polygon_options
from geofcs.schedule import Cluster, Outcome, ThisMachine, run_blocks, site_of
from geofcs.tiles import Block

NEEDED = ("t1", "t2")
COLUMNS = (*NEEDED, "out", "date_t1", "date_t2", "mask_t1", "mask_t2")
PATHS = ("t1", "t2", "mask_t1", "mask_t2")

MOST_PROBLEMS = 50
"""Problems of a list that are told; more than that have one cause."""

BY_SEVERITY = (0, 7, 3, 4, 5, 6, 8)
"""Exit codes from "all is well" to the worst."""


@dataclass(frozen=True)
class Row:
    """A line of the list and what it asks for."""

    line: int
    request: DetectRequest

    @property
    def name(self) -> str:
        """For people."""
        return f"line {self.line} ({self.request.out.name})"


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
    Raises `StoppedError` soon after `stop` has said yes.
    """
    listener = StoppableListener(listener, stop)
    with site_of(rows[0].request.scheduler, listener) as site:
        planned = _all_planned(rows, listing, site)
        results = [PairResult(each.row) for each in planned if each.is_finished]
        left = [each for each in planned if not each.is_finished]
        if left:
            results += _run(left, site, listener, stop)
    return sorted(results, key=lambda result: result.row.line)


def _run(left: list[Planned], site: ThisMachine | Cluster, listener: Listener, stop: Stop) -> list[PairResult]:
    crew = max((each.plan.crew for each in left), key=lambda crew: crew.in_flight)
    with site.team(crew, left[0].plan.source.device) as team:

        def compute(job: BlockJob, blocks: Sequence[Block], listener: Listener) -> Outcome:
            return run_blocks(team, job, blocks, listener, stop)

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
            except StoppedError:
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
    _refuse(listing, problems)
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


def read_pairs(listing: Path, template: DetectRequest, outputs: Path | None) -> list[Row]:
    """The rows of a CSV file with the columns t1, t2 and, as one likes, `COLUMNS`; all else is the template's.

    A list is data: paths in it are paths, taken from the list's folder, and nothing in it is executed or expanded.
    Outputs that are not named lie in `outputs`, by default the list's folder. Raises `InputError` with all problems.
    """
    lines = _lines(listing)
    header, problems = lines[0][1], []
    for name in header:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, 1)
            meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(COLUMNS)}"
            problems.append(f"line {lines[0][0]}: column {name!r} is not known: {meant}")
    problems += [f"line {lines[0][0]}: column {name} is missing" for name in NEEDED if name not in header]
    _refuse(listing, problems)
    rows: list[Row] = []
    for line, cells in lines[1:]:
        said = dict(zip(header, cells, strict=False))
        if len(cells) != len(header):
            problems.append(f"line {line}: has {len(cells)} cells where the first line has {len(header)}")
        elif not (said["t1"] and said["t2"]):
            problems.append(f"line {line}: t1 or t2 is empty")
        else:
            try:
                rows.append(Row(line, _request(said, template, listing.absolute().parent, outputs)))
            except InputError as error:
                problems.append(f"line {line}: {error}")
    problems += _clashes(rows)
    if not (rows or problems):
        problems.append("has no pairs below its first line")
    _refuse(listing, problems)
    return rows


def _lines(listing: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers, cells without the spaces around them."""
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{listing}: cannot be read as CSV in UTF-8 ({error})") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise InputError(f"{listing}: is empty: write a first line t1,t2 and a pair per line below")
    return lines


def _request(said: dict[str, str], template: DetectRequest, folder: Path, outputs: Path | None) -> DetectRequest:
    path = {name: _located(said[name], folder) for name in PATHS if said.get(name)}
    default = f"{stem_of(said['t1'])}_{stem_of(said['t2'])}_change"
    scene = replace(
        template.scene,
        mask_t1=path.get("mask_t1", template.scene.mask_t1),
        mask_t2=path.get("mask_t2", template.scene.mask_t2),
    )
    return replace(
        template,
        t1=path["t1"],
        t2=path["t2"],
        out=folder / said["out"] if said.get("out") else (outputs or folder).absolute() / default,
        date_t1=said.get("date_t1") or template.date_t1,
        date_t2=said.get("date_t2") or template.date_t2,
        scene=scene,
    )


def _located(text: str, folder: Path) -> str:
    """A local path, from the list's folder; URLs as they are."""
    return str(folder / text) if parse_address(text, tuple(ARCHIVES)).is_local else text


def _clashes(rows: Sequence[Row]) -> list[str]:
    first: dict[Path, int] = {}
    clashes = []
    for row in rows:
        out = row.request.out.resolve()
        if out in first:
            clashes.append(f"line {row.line}: writes into the output of line {first[out]}, {out}: name them with out")
        first.setdefault(out, row.line)
    return clashes


def _refuse(listing: Path, problems: list[str]) -> None:
    if problems:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise InputError("\n".join([f"{listing}: nothing was run:", *problems[:MOST_PROBLEMS], *more]))
