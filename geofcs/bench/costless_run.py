"""A whole run around a model that costs nothing; a fresh process loads no more for it than the command and the stub."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from geofcs.bench.costless import CostlessSource
from geofcs.classes import SECOND
from geofcs.detect import computed_at
from geofcs.journal import Journal
from geofcs.listener import Listener, never
from geofcs.lock import locked
from geofcs.plan import DetectRequest, make_plan
from geofcs.run import Clock, Run, carry_out
from geofcs.schedule.site import ThisMachine


def timed_without_cost(request: DetectRequest, tile: int) -> tuple[dict[str, Any], float]:
    """What run.json says, and the core seconds that went into the stub's answer for tiles of SECOND's classes."""
    start = time.process_time()
    CostlessSource(request.weights, tile, len(SECOND.land_covers)).load()
    stub = time.process_time() - start
    return detect_without_cost(request, Nobody()), stub


def detect_without_cost(request: DetectRequest, listener: Listener) -> dict[str, Any]:
    """The job on a CPU, with a model that costs nothing in the place of the one that it is planned with."""
    journal = Journal(request.out)
    with locked(journal.out) as lock:
        site = ThisMachine()
        plan = make_plan(request, site)
        costless = CostlessSource(plan.source.weights, plan.lattice.tile, len(plan.weights.classes.land_covers))
        plan = replace(plan, source=costless)  # type: ignore[arg-type]  # no trained model, but all that is asked of one
        return carry_out(Run(request, plan, journal, lock, Clock(), listener, computed_at(site, plan, never)))


class Nobody:
    """A listener that does not listen."""

    def note(self, sentence: str) -> None:
        pass

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        pass

    def advance(self, units: int) -> None:
        pass
