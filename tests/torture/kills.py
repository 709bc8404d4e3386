"""Runs that are killed, at random moments of every stage and before every single step, and given again until done."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.torture.faults import KILLS, STAGES, STEPS, tell
from tests.torture.forks import KILLED, Fork, Stages
from tests.torture.runs import Content, Material, content_of, detect_without_model
from tests.torture.steps import before_each_change, die_before_change

MOST_KILLS = 6
"""Kills of one output before it is left alone."""


@dataclass(frozen=True)
class Bench:
    """Where runs are tortured, and what they have to give in the end."""

    folder: Path
    material: Material
    expected: Content
    undisturbed: Path
    seconds: dict[str, float]
    """How long each stage takes when left alone."""

    def run(self, out: Path, *, overwrite: bool = False, by_threads: bool = False) -> Callable[[Stages], None]:
        """The one command that is given again and again."""
        request = self.material.request(out, overwrite=overwrite, workers=2 if by_threads else 1)
        return lambda stages: detect_without_model(request, stages, by_threads=by_threads)

    def start(self, run: Callable[[Stages], None]) -> Fork:
        """Begin a run."""
        return Fork(run, self.folder / "stderr")

    def finish(self, run: Callable[[Stages], None], out: Path) -> None:
        """Leave a run alone, and see that its output is right and nothing else is left."""
        ended = self.start(run).ended()
        assert ended.code == 0, ended
        self.check_finished(out)

    def check_finished(self, out: Path) -> None:
        """See that an output is right, and that nothing else is left beside it."""
        assert content_of(out) == self.expected
        assert [path.name for path in out.parent.iterdir()] == [out.name]

    def fresh(self) -> Path:
        """An output in a folder of its own."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        return home / "out"


def bench_in(folder: Path, material: Material) -> Bench:
    """Run undisturbed once, for what is expected and how long it takes."""
    out, moments = folder / "undisturbed", {}
    request = material.request(out)
    began = time.monotonic()
    fork = Fork(lambda stages: detect_without_model(request, stages, by_threads=False), folder / "stderr")
    for stage in STAGES:
        fork.wait_for_stage(stage)
        moments[stage] = time.monotonic() - began
    ended = fork.ended()
    assert ended.code == 0, ended
    stops = [*list(moments.values())[1:], time.monotonic() - began]
    seconds = {stage: stop - moments[stage] for stage, stop in zip(STAGES, stops, strict=True)}
    return Bench(folder, material, content_of(out), out, seconds)


def kill_at_random(bench: Bench, kills: int, seed: int, threads_share: float) -> None:
    """Kill runs at random moments, every stage as often as the others; some runs replace an older output.

    Tells the stages in which runs were killed; every output is finished and compared in the end.
    """
    dice, done = random.Random(seed), 0
    while done < kills:
        out, overwrite = bench.fresh(), dice.random() < 0.3
        if overwrite:
            shutil.copytree(bench.undisturbed, out)
            (out / "old").touch()
        run = bench.run(out, overwrite=overwrite, by_threads=dice.random() < threads_share)
        for _ in range(dice.randint(1, MOST_KILLS)):
            stage = dice.choice(STAGES)
            fork = bench.start(run)
            fork.wait_for_stage(stage)
            time.sleep(dice.uniform(0, bench.seconds[stage]))
            fork.kill()
            ended = fork.ended()
            assert ended.code in (KILLED, 0), ended
            _check_half_way(bench, out, overwrite)
            if ended.code == 0 or (out.exists() and not (out / "old").exists()):
                break
            tell(KILLS, {ended.stage: 1})
            done += 1
        else:
            bench.finish(run, out)


def _check_half_way(bench: Bench, out: Path, overwrite: bool) -> None:
    """Whatever stands under the output's name is whole: the old one, the new one, or, between two names, none."""
    if out.exists():
        assert content_of(out) == bench.expected
        assert (out / "run.json").exists()
    elif overwrite:
        assert list(out.parent.glob("out.replaced-*/old"))


def kill_at_every_step(bench: Bench, every: int, offset: int) -> None:
    """Kill runs before every n-th of their changes to the file system, and finish each of them."""
    for number in range(1 + offset, 1 + _count_steps(bench), every):
        out = bench.fresh()
        shutil.copytree(bench.undisturbed, out)
        (out / "old").touch()
        run = bench.run(out, overwrite=True)

        def doomed(stages: Stages, run: Callable[[Stages], None] = run, number: int = number) -> None:
            die_before_change(bench.folder / "home", number)
            run(stages)

        ended = bench.start(doomed).ended()
        assert ended.code == KILLED, ended
        _check_half_way(bench, out, overwrite=True)
        if not out.exists() or (out / "old").exists():
            bench.finish(run, out)
        tell(STEPS, {ended.stage: 1})


def _count_steps(bench: Bench) -> int:
    """How many changes an undisturbed run makes."""
    out, counted = bench.fresh(), bench.folder / "steps"
    shutil.copytree(bench.undisturbed, out)
    run = bench.run(out, overwrite=True)

    def count(stages: Stages) -> None:
        before_each_change(bench.folder / "home", lambda number: _note(counted, number))
        run(stages)

    assert bench.start(count).ended().code == 0
    return int(counted.read_text())


def _note(path: Path, number: int) -> None:
    path.write_text(str(number))
