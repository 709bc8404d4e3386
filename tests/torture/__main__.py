"""All of it, runs in lanes beside each other and then tests, with a table of what became of it: `make torture`, or

    python -m tests.torture [--quick] [--docs docs/reliability.md]

The table takes the place of what stands between the two marks in the file given with --docs. What is wrong, and what
was done too rarely, is told, and the exit code is 1. Disks are mounted as root, or below
`unshare --map-root-user --mount`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.torture import faults
from tests.torture.damage import damage_everything
from tests.torture.disks import can_mount, fill_disks
from tests.torture.faults import ENDED, FILE, WRONG, Fault, now_and_then, tell, told
from tests.torture.kills import Bench, bench_in, kill_at_every_step, kill_at_random
from tests.torture.runs import Material, write_material
from tests.torture.starts import start_at_once
from tests.torture.states import fill_with_state, kill_while_saving
from tests.torture.table import as_table, missing, put_between_marks

TESTS = (
    *("tests/torture/test_fuzz.py", "tests/torture/test_properties.py", "tests/torture/test_remote_reads.py"),
    *("tests/torture/test_workers.py", "tests/test_journal_states.py", "tests/vector/test_seams.py"),
    *("tests/vector/test_pieces.py", "tests/test_bad_input.py", "tests/test_bad_sources.py"),
)
"""Which tell of the other faults, quick tests and long ones."""

NO_DISKS = "small disks cannot be mounted here: be root, or type unshare --map-root-user --mount before the command"


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
QUICK = Amount(lanes=2, rounds=1, steps_of=150, kills=1, disks=2, cuts=2, flips=1, state_kills=2)


def main() -> None:
    """Torture, and tell."""
    arguments = argparse.ArgumentParser(prog="python -m tests.torture")
    arguments.add_argument("--quick", action="store_true", help="a little of what is done to runs, and no tests")
    arguments.add_argument("--docs", type=Path, help="the page that the table goes into")
    given = arguments.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="geofcs-torture-") as name:
        folder = Path(name)
        those = wanted(given.quick, can_mount(folder / "disk"))
        os.environ[FILE] = str(folder / "told")
        torture_runs(folder, QUICK if given.quick else FULL)
        if not given.quick:
            run_tests()
        ended = told(folder / "told")
    wrong = sum(each[WRONG] for each in ended.values())
    sentence = f"Wrong, torn or lost: {wrong}. {time.monotonic() - began:.0f} s on {os.cpu_count()} cores.\n"
    text = f"{as_table(those, ended)}\n{sentence}"
    sys.stdout.write(text)
    if given.docs:
        put_between_marks(given.docs, text)
    if lacking := missing(those, ended):
        raise SystemExit("\n".join(lacking))


def wanted(quick: bool, mounts: bool) -> Sequence[Fault]:
    """What there has to be; where disks cannot be mounted, a quick look leaves them out and says so, all of it ends."""
    if not quick:
        if not mounts:
            raise SystemExit(NO_DISKS)
        return (*faults.OF_RUNS, *faults.OF_TESTS, ENDED)
    if not mounts:
        sys.stderr.write(f"{NO_DISKS}; left out\n")
    return [now_and_then(each) for each in (*faults.OF_RUNS, ENDED) if mounts or each not in faults.ON_DISKS]


def torture_runs(folder: Path, amount: Amount) -> None:
    """In lanes beside each other: most of the time of each is spent waiting."""
    if os.waitpid(_fork(lambda: write_material(folder)), 0)[1]:
        raise SystemExit("the scenes could not be made")
    bench = bench_in(folder, Material(folder / "t1.tif", folder / "t2.tif", folder / "w.safetensors"))
    lanes = [_begin(folder / f"lane{number}", bench, number, amount) for number in range(amount.lanes)]
    for pid in lanes:
        tell(ENDED, {WRONG if os.waitpid(pid, 0)[1] else "lanes": 1})


def _begin(folder: Path, bench: Bench, lane: int, amount: Amount) -> int:
    """A lane in a process of its own; returns its number."""
    folder.mkdir()
    return _fork(lambda: in_lane(replace(bench, folder=folder), lane, amount))


def in_lane(bench: Bench, lane: int, amount: Amount) -> None:
    """A little of each fault in every round; whatever goes wrong is told, and the next fault is tried."""
    for slot in range(lane, amount.slots, amount.lanes):
        for fault, inflict in faults_of(bench, slot, amount).items():
            try:
                inflict()
            except Exception:  # noqa: BLE001, it is counted, and the exit code tells of it
                traceback.print_exc()
                tell(fault, {WRONG: 1})


def faults_of(bench: Bench, slot: int, amount: Amount) -> dict[Fault, Callable[[], None]]:
    """What a round consists of."""
    cases, shares = range(slot * amount.disks, (slot + 1) * amount.disks), amount.slots
    inflict: dict[Fault, Callable[[], None]] = {
        faults.KILLS: lambda: kill_at_random(bench, amount.kills, seed=slot, threads_share=0.15),
        faults.STEPS: lambda: kill_at_every_step(bench, amount.steps_of, slot),
        faults.DISKS: lambda: fill_disks(bench, cases, shares * amount.disks),
        faults.STARTS: lambda: start_at_once(bench, rounds=1, seed=slot),
        faults.STATE_KILLS: lambda: kill_while_saving(bench.folder / "states", amount.state_kills, seed=slot),
        faults.STATE_DISKS: lambda: fill_with_state(bench.folder, (slot + 1) / (shares + 1)),
    }
    if slot == 0:
        inflict[faults.CUTS] = lambda: damage_everything(
            bench.undisturbed, bench.folder / "damaged", amount.cuts, amount.flips
        )
    return inflict


def run_tests() -> None:
    """One after the other; conftest.py tells how each of them ended."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "3600", *TESTS]
    code = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=sys.stderr, check=False).returncode
    if code not in (0, 1):  # 1: tests failed, which they have told
        tell(ENDED, {WRONG: 1})


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


if __name__ == "__main__":
    main()
