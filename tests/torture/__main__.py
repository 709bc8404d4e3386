"""All of it, in lanes beside each other, with a table of counts: `make torture`, or

    python -m tests.torture [--quick] [--docs docs/reliability.md]

The table takes the place of what stands between the two marks in the file given with --docs. Whatever goes wrong ends
it with an error. Disks are mounted as root, or below `unshare --map-root-user --mount`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.torture.damage import damage_everything
from tests.torture.disks import fill_disks
from tests.torture.kills import Bench, bench_in, kill_at_every_step, kill_at_random
from tests.torture.runs import Material, write_material
from tests.torture.starts import AT_ONCE, start_at_once
from tests.torture.states import fill_with_states, kill_while_saving

BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"

Counts = dict[str, dict[str, int]]
"""For each kind of fault, how many there were of what."""


@dataclass(frozen=True)
class Amount:
    """How much of everything, in each lane."""

    lanes: int
    kills: int
    every_step: int
    disks: int
    starts: int
    cuts: int
    flips: int
    state_kills: int
    state_disks: int


FULL = Amount(lanes=4, kills=80, every_step=1, disks=26, starts=5, cuts=20, flips=100, state_kills=25, state_disks=8)
QUICK = Amount(lanes=2, kills=3, every_step=40, disks=4, starts=1, cuts=4, flips=8, state_kills=3, state_disks=2)


def main() -> None:
    """Torture, and tell."""
    arguments = argparse.ArgumentParser(prog="python -m tests.torture")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--docs", type=Path)
    given = arguments.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="geofcs-torture-") as folder:
        counts = tortured(Path(folder), QUICK if given.quick else FULL)
    table = as_table(counts, time.monotonic() - began)
    sys.stdout.write(table)
    if given.docs:
        put_between_marks(given.docs, table)


def tortured(folder: Path, amount: Amount) -> Counts:
    """All faults, in lanes beside each other: most of the time of each is spent waiting."""
    if os.waitpid(_fork(lambda: write_material(folder)), 0)[1]:
        raise SystemExit("the scenes could not be made")
    bench = bench_in(folder, Material(folder / "t1.tif", folder / "t2.tif", folder / "w.safetensors"))
    lanes = [_begin(folder / f"lane{number}", bench, number, amount) for number in range(amount.lanes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in lanes]
    if any(codes):
        raise SystemExit(f"lanes ended with {codes}: what went wrong stands above")
    total: dict[str, Counter[str]] = {}
    for number in range(amount.lanes):
        for fault, counts in json.loads((folder / f"lane{number}" / "counts").read_text()).items():
            total.setdefault(fault, Counter()).update(counts)
    return {fault: dict(counts) for fault, counts in total.items()}


def _begin(folder: Path, bench: Bench, lane: int, amount: Amount) -> int:
    """A lane in a process of its own; returns its number."""
    folder.mkdir()
    return _fork(lambda: (folder / "counts").write_text(json.dumps(_lane(folder, bench, lane, amount))))


def _lane(folder: Path, bench: Bench, lane: int, amount: Amount) -> Counts:
    mine = replace(bench, folder=folder)
    killed = kill_at_random(mine, amount.kills, seed=lane, dask_share=0.15)
    stepped = kill_at_every_step(mine, amount.every_step * amount.lanes, offset=lane * amount.every_step)
    filled = fill_disks(mine, amount.disks)
    counts: Counts = {
        "kill -9 at a random moment": dict(killed.kills),
        "kill -9 just before a change to the file system": dict(stepped.kills),
        "disk full": dict(filled.stages),
        "disk just large enough": {"done": filled.enough},
        f"{AT_ONCE} starts at once on one output": dict(start_at_once(mine, amount.starts, seed=lane)),
        "kill -9 while training states are saved": dict(
            kill_while_saving(folder / "states", amount.state_kills, seed=lane)
        ),
        "disk full while training states are saved": dict(fill_with_states(folder, amount.state_disks)),
    }
    if lane == 0:
        counts["damage to a finished output, found by `geofcs verify`"] = dict(
            damage_everything(bench.undisturbed, folder / "damaged", amount.cuts, amount.flips)
        )
    return counts


def _fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001, a forked process must never return into its parent's code
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def as_table(counts: Counts, seconds: float) -> str:
    """Markdown."""
    lines = ["| fault | count | of these |", "|---|---:|---|"]
    for fault, parts in counts.items():
        of_these = ", ".join(f"{name} {count}" for name, count in parts.items())
        lines.append(f"| {fault} | {sum(parts.values())} | {of_these} |")
    cores = os.cpu_count()
    return "\n".join([*lines, "", f"Wrong, torn or lost outputs and states: 0. {seconds:.0f} s on {cores} cores.", ""])


def put_between_marks(page: Path, table: str) -> None:
    """Replace what stands between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(before + BEGIN + "\n" + table + "\n" + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
