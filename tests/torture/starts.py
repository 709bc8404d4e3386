"""Several starts of the same command at once, some of them killed: one works, the others are told so."""

from __future__ import annotations

import random
import re
import time

from tests.torture.faults import STARTS, tell
from tests.torture.forks import KILLED, Fork
from tests.torture.kills import Bench

AT_ONCE = 5

REFUSED = re.compile(
    r"geofcs: .*out: (process \d+ on .* is writing there|another run is writing there|is a finished).*\n"
)


def start_at_once(bench: Bench, rounds: int, seed: int) -> None:
    """Tells of starts that were done, refused and killed."""
    dice = random.Random(seed)
    for _ in range(rounds):
        out = bench.fresh()
        run = bench.run(out)
        forks = [Fork(run, bench.folder / f"stderr{number}") for number in range(AT_ONCE)]
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0, bench.seconds["start"]))
            forks[dice.randrange(AT_ONCE)].kill()
        for ended in [fork.ended() for fork in forks]:
            if ended.code == 5:
                assert REFUSED.fullmatch(ended.said), ended
                tell(STARTS, {"refused": 1})
            else:
                assert ended.code in (0, KILLED), ended
                tell(STARTS, {"done" if ended.code == 0 else "killed": 1})
        if out.exists():
            bench.check_finished(out)
        else:
            bench.finish(run, out)
