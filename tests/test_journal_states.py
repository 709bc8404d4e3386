"""The journal in any order of runs, deaths, damage, other plans and other options: what is published is right."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from geofcs.errors import InputError, OutputError
from geofcs.journal import PLAN_FILE, RUN_FILE, Journal
from geofcs.mosaic import Mosaic
from geofcs.records import is_as_described, lasting, read_json, read_sealed
from geofcs.strips import Strip, has_sound_strip, write_strip
from tests.torture.faults import COMMANDS, JOURNALS, tell
from tests.torture.steps import before_each_change

STRIPS = [Strip(row, 0, 1, 8 * row, 0, 8, 16) for row in range(3)]
PRODUCTS = ["change.tif", "probability.tif", "changes.gpkg"]
PLANS = [{"threshold": 0.5}, {"threshold": 0.6}]
POLYGONS = {"min_area_m2": 0.0}

MEMORY = Path("/dev/shm")
"""Linux's disk in memory."""


class Killed(BaseException):
    """The process has ended here."""


class Death:
    """Comes so many changes to the file system from now; once it has come, nothing more is changed."""

    def __init__(self, folder: Path) -> None:
        self.changes_left: int | None = None
        before_each_change(folder, lambda _count: self._pass())

    def _pass(self) -> None:
        if self.changes_left is None:
            return
        if self.changes_left == 0:
            raise Killed
        self.changes_left -= 1


def pixels_of(plan: int, strip: Strip) -> np.ndarray:
    """What a model would find."""
    return np.random.default_rng([plan, strip.row]).integers(0, 40, (len(PRODUCTS), 8, 16), np.uint8)


def band_of(strips: Path, band: int) -> bytes:
    """A band of all strips, from top to bottom."""
    return Mosaic(strips, STRIPS).read([band], slice(0, 24), slice(0, 16), np.uint8).tobytes()


def product_of(plan: int, number: int) -> bytes:
    """What a product has to be."""
    return b"".join(pixels_of(plan, strip)[number].tobytes() for strip in STRIPS)


def run(journal: Journal, plan: int, *, overwrite: bool, restart: bool) -> None:
    """What `detect` does with its journal, with products that are their strips' bands one behind the other."""
    journal.settle()
    journal.check_free([], overwrite)
    journal.begin(PLANS[plan], restart)
    if journal.completed(POLYGONS) is None:
        strips = journal.strips(PLANS[plan])
        for strip in STRIPS:
            if not has_sound_strip(strips, strip, len(PRODUCTS), np.dtype(np.uint8)):
                write_strip(strips, strip, pixels_of(plan, strip))
        for number, name in enumerate(PRODUCTS):
            if not journal.is_finished([name]):
                (journal.staging / name).write_bytes(band_of(strips, number + 1))
                journal.finish(lasting(journal.staging, [name]))
        journal.complete({"plan": PLANS[plan], "polygons": POLYGONS})
    journal.publish()


@pytest.fixture(scope="module")
def death() -> Iterator[Death]:
    """One for all examples: audit hooks stay for the rest of the process.

    In memory, where there is such a disk: an example waits a hundred times for the disk, which may be busy, and what a
    power cut leaves is not what is tried here.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        Machine.home = Path(home)
        Machine.death = Death(Machine.home)
        yield Machine.death


class Machine(RuleBasedStateMachine):
    """Everything that can happen to an output."""

    home: Path
    death: Death

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.home))
        self.journal = Journal(self.folder / "out")
        self.published: set[int] = set()
        self.is_there = False
        self.plan_is_damaged = False

    @rule(
        plan=st.sampled_from([0, 0, 0, 1]),
        changes=st.one_of(st.integers(0, 60), st.integers(0, 60), st.none()),
        overwrite=st.sampled_from([True, True, True, False]),
        restart=st.sampled_from([False, False, True]),
    )
    def run(self, plan: int, changes: int | None, overwrite: bool, restart: bool) -> None:
        """Give a command, and perhaps kill it."""
        begun = self.begun_plan()
        self.death.changes_left = changes
        try:
            run(self.journal, plan, overwrite=overwrite, restart=restart)
        except Killed:
            self.published |= {plan} if overwrite or not self.published else set()
            self.plan_is_damaged &= self.has_record()
            tell(COMMANDS, {"killed": 1})
            return
        except InputError as error:
            assert not restart
            assert self.plan_is_damaged or begun not in (None, plan), error
            tell(COMMANDS, {"refused": 1})
            return
        except OutputError as error:
            assert not overwrite, error
            assert self.journal.is_published, error
            tell(COMMANDS, {"refused": 1})
            return
        finally:
            self.death.changes_left = None
        assert begun in (None, plan) or restart, "an unfinished run of another plan was not refused"
        assert self.plan_in(self.journal.out) == plan
        assert [path.name for path in self.folder.iterdir()] == ["out"]
        self.published, self.is_there, self.plan_is_damaged = {plan}, True, False
        tell(COMMANDS, {"done": 1})

    def has_record(self) -> bool:
        """Whether the unfinished run has got as far as a plan, or as its record."""
        return any((self.journal.staging / name).exists() for name in (PLAN_FILE, RUN_FILE))

    def begun_plan(self) -> int | None:
        """Of which plan there is an unfinished run, as long as it can be told."""
        staging = self.journal.staging
        if self.plan_is_damaged:
            return None
        if (staging / PLAN_FILE).exists():
            return PLANS.index(read_json(staging / PLAN_FILE))
        if (staging / RUN_FILE).exists():
            return PLANS.index(read_json(staging / RUN_FILE)["plan"])
        return None

    @rule()
    def take_the_output_away(self) -> None:
        """The user has what he wants."""
        if self.journal.out.exists():
            shutil.rmtree(self.journal.out)
            self.published, self.is_there = set(), False

    @rule(number=st.integers(0, 99), how=st.sampled_from(["flip", "cut", "delete"]), seed=st.integers(0, 99))
    def damage(self, number: int, how: str, seed: int) -> None:
        """Let a file of an unfinished run rot."""
        files = sorted(path for path in self.journal.staging.rglob("*") if path.is_file())
        if not files:
            return
        path, dice = files[number % len(files)], random.Random(seed)
        content = path.read_bytes()
        if path.name in (PLAN_FILE, RUN_FILE) and how == "delete":
            return
        self.plan_is_damaged |= path.name in (PLAN_FILE, RUN_FILE)
        if how == "delete":
            path.unlink()
        elif content:
            at = dice.randrange(len(content))
            flipped = bytes([content[at] ^ 1 << dice.randrange(8)])
            path.write_bytes(content[:at] + (flipped + content[at + 1 :] if how == "flip" else b""))

    @rule(name=st.sampled_from(["change.tif.ovr.tmp", ".run.json.unfinished", "strips/x.tmp", "changes.gpkg"]))
    def leave_an_orphan(self, name: str) -> None:
        """What writers leave that die where the file system is not asked by Python."""
        if self.has_record() and not (self.journal.staging / name).exists():
            path = self.journal.staging / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"half of someth")

    @invariant()
    def what_is_published_is_right_and_never_lost(self) -> None:
        """Under the output's name, or set aside for the moment of its replacement."""
        if not hasattr(self, "journal"):
            return
        out, aside = self.journal.out, list(self.folder.glob("out.replaced-*"))
        if out.exists():
            assert self.plan_in(out) in self.published
        elif self.is_there:
            assert self.plan_in(aside[0]) in self.published

    @staticmethod
    def plan_in(folder: Path) -> int:
        """The plan of a complete output, all of whose files are right."""
        record = read_sealed(folder / RUN_FILE)
        plan = PLANS.index(record["plan"])
        for number, name in enumerate(PRODUCTS):
            assert (folder / name).read_bytes() == product_of(plan, number)
            assert is_as_described(folder / name, record["outputs"][name])
        return plan

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)
            tell(JOURNALS, {"to the end": 1})


def test_whatever_happens_what_is_published_is_right(death: Death) -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=20, deadline=None))


@pytest.mark.long
def test_whatever_happens_five_hundred_times_what_is_published_is_right(death: Death) -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=500, stateful_step_count=50, deadline=None))
