"""All of it, in lanes beside each other, with a table of counts: `make torture`, or

    python -m tests.torture [--quick] [--minutes 60] [--docs docs/reliability.md]

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
from tests.torture.states import fill_with_state, kill_while_saving

BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"

Counts = dict[str, dict[str, int]]
"""For each kind of fault, how many there were of what."""


@dataclass(frozen=True)
class Amount:
    """How many lanes there are, rounds in each of them, and of each fault in a round. Steps are spread over all."""

    lanes: int
    rounds: int
    steps_of: int
    kills: int
    disks: int
    cuts: int
    flips: int
    state_kills: int

    @property
    def slots(self) -> int:
        """Rounds of all lanes."""
        return self.lanes * self.rounds


FULL = Amount(lanes=4, rounds=10, steps_of=40, kills=8, disks=3, cuts=20, flips=100, state_kills=3)
QUICK = Amount(lanes=2, rounds=1, steps_of=90, kills=2, disks=2, cuts=3, flips=5, state_kills=2)


def main() -> None:
    """Torture, and tell."""
    arguments = argparse.ArgumentParser(prog="python -m tests.torture")
    arguments.add_argument("--quick", action="store_true", help="a little of everything")
    arguments.add_argument("--minutes", type=float, default=60, help="begin nothing new after so many")
    arguments.add_argument("--docs", type=Path, help="the page that the table goes into")
    given = arguments.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="geofcs-torture-") as folder:
        counts = tortured(Path(folder), QUICK if given.quick else FULL, began + 60 * given.minutes)
    table = as_table(counts, time.monotonic() - began)
    sys.stdout.write(table)
    if given.docs:
        put_between_marks(given.docs, table)


def tortured(folder: Path, amount: Amount, until: float) -> Counts:
    """All faults, in lanes beside each other: most of the time of each is spent waiting."""
    if os.waitpid(_fork(lambda: write_material(folder)), 0)[1]:
        raise SystemExit("the scenes could not be made")
    bench = bench_in(folder, Material(folder / "t1.tif", folder / "t2.tif", folder / "w.safetensors"))
    lanes = [_begin(folder / f"lane{number}", bench, number, amount, until) for number in range(amount.lanes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in lanes]
    if any(codes):
        raise SystemExit(f"lanes ended with {codes}: what went wrong stands above")
    total: dict[str, Counter[str]] = {}
    for number in range(amount.lanes):
        for fault, counts in json.loads((folder / f"lane{number}" / "counts").read_text()).items():
            total.setdefault(fault, Counter()).update(counts)
    return {fault: dict(counts) for fault, counts in total.items()}


def _begin(folder: Path, bench: Bench, lane: int, amount: Amount, until: float) -> int:
    """A lane in a process of its own; returns its number."""
    folder.mkdir()
    return _fork(lambda: (folder / "counts").write_text(json.dumps(_lane(folder, bench, lane, amount, until))))


def _lane(folder: Path, bench: Bench, lane: int, amount: Amount, until: float) -> Counts:
    """A little of each fault in every round."""
    total: dict[str, Counter[str]] = {}
    mine = replace(bench, folder=folder)
    for slot in range(lane, amount.slots, amount.lanes):
        for fault, inflict in _faults(mine, slot, amount).items():
            if time.monotonic() < until:
                total.setdefault(fault, Counter()).update(inflict())
    return {fault: dict(counts) for fault, counts in total.items()}


def _faults(bench: Bench, slot: int, amount: Amount) -> dict[str, Callable[[], Counter[str]]]:
    """What a round consists of."""
    cases = range(slot * amount.disks, (slot + 1) * amount.disks)
    faults: dict[str, Callable[[], Counter[str]]] = {
        "kill -9 at a random moment": lambda: kill_at_random(bench, amount.kills, seed=slot, threads_share=0.15),
        "kill -9 just before a change to the file system": lambda: kill_at_every_step(bench, amount.steps_of, slot),
        "disk full (or files limited in size or number)": lambda: fill_disks(bench, cases, amount.slots * amount.disks),
        f"{AT_ONCE} starts at once on one output": lambda: start_at_once(bench, rounds=1, seed=slot),
        "kill -9 while training states are saved": lambda: kill_while_saving(
            bench.folder / "states", amount.state_kills, seed=slot
        ),
        "disk full while training states are saved": lambda: fill_with_state(
            bench.folder, (slot + 1) / (amount.slots + 1)
        ),
    }
    if slot == 0:
        faults["damage to a finished output, found by `geofcs verify`"] = lambda: damage_everything(
            bench.undisturbed, bench.folder / "damaged", amount.cuts, amount.flips
        )
    return faults


def _fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001, a forked process must never return into its parent's code
            sys.excepthook(*sys.exc_info())
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
