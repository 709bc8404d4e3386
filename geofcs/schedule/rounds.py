"""Handing out blocks and collecting them: who is told what, who is asked again, and when the run ends."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from geofcs.blocks import BlockCounts, BlockJob
from geofcs.errors import SourceError, StoppedError
from geofcs.listener import Listener, Stop
from geofcs.schedule.outcome import Outcome
from geofcs.schedule.stall import ENDLESS, Patience, Silence, stalled
from geofcs.schedule.task import Work
from geofcs.schedule.terms import Terms, terms_for
from geofcs.schedule.workers import Task, WorkerDiedError, Workers
from geofcs.tiles import Block

TICK = 0.1
"""Seconds between two looks at whether to stop."""

SECONDS_FOR_STRIPS = 8.0
"""What blocks get to finish the strip under way when the run is stopped: all is over within ten seconds."""

SECONDS_TO_STOP = 1.5
"""How long stopped blocks are waited for beyond that: a tile may be on its way through the model."""

DEATHS_IN_THE_CROWD = 2
"""Workers that may die at a strip of a block before it is suspected and runs alone, so that no other is blamed."""

MOST_DEATHS = 3
"""Workers that die at a strip of a block before that is given up, the last of them alone."""

MOST_READS = 3
"""Times that a block is tried whose scenes could not be read: another worker may see them."""


@dataclass(frozen=True)
class Team:
    """Workers that are there."""

    workers: Workers
    inspect: Callable[[Terms, BlockJob], None] | None = None
    """Looks at each of them before a job begins; None where they are this machine's."""

    def run(
        self, job: BlockJob, blocks: Sequence[Block], listener: Listener, stop: Stop, patience: Patience = ENDLESS
    ) -> Outcome:
        """Run all blocks; `listener` is told of tiles done, and if nothing is done for as long as `patience` says.

        The first block that fails stops the others at their next batch, and its `GeofcsError` is raised here.
        `StoppedError` when `stop` says so: then strips under way are finished, if that takes no more than eight
        seconds. `StalledError` when patience has ended.
        """
        if self.inspect is None:
            return _Round(self, job, blocks, listener, stop, patience, None).run()
        with terms_for(job) as terms:
            self.inspect(terms, job)
            return _Round(self, job, blocks, listener, stop, patience, terms).run()


class _Round:
    def __init__(
        self,
        team: Team,
        job: BlockJob,
        blocks: Sequence[Block],
        listener: Listener,
        stop: Stop,
        patience: Patience,
        terms: Terms | None,
    ) -> None:
        self._team, self._job, self._blocks, self._terms = team, job, blocks, terms
        self._listener, self._stop = listener, stop
        self._run = uuid.uuid4().hex
        self._news: SimpleQueue[Task | list[int]] = SimpleQueue()
        self._pending: dict[Task, int] = {}
        self._counts: dict[int, BlockCounts] = {}
        self._told = [0] * len(blocks)
        self._deaths: Counter[tuple[int, int]] = Counter()
        self._reads: Counter[int] = Counter()
        self._suspects: list[int] = []
        self._lost: list[int] = []
        self._silence = Silence(listener, patience)

    def run(self) -> Outcome:
        with self._team.workers.heard(self._run, self._news.put):
            try:
                for number in range(len(self._blocks)):
                    self._begin(number)
                self._collect(self._suspects)
                while self._suspects:
                    self._begin(self._suspects.pop())
                    self._collect(self._lost)
            except StoppedError:
                self._end(SECONDS_FOR_STRIPS)
                raise
            except BaseException:
                self._end(0)
                raise
        return Outcome(list(self._counts.values()), [self._blocks[number] for number in sorted(self._lost)])

    def _begin(self, number: int) -> None:
        work = Work(self._blocks[number], number, self._job, self._run, self._terms)
        self._pending[self._team.workers.begin(work, self._news.put)] = number

    def _collect(self, killers: list[int]) -> None:
        """Wait for all that is under way; blocks under which too many workers died end up among the `killers`."""
        most = DEATHS_IN_THE_CROWD if killers is self._suspects else MOST_DEATHS
        while self._pending:
            if self._stop():
                raise StoppedError("stopped as asked")
            try:
                news = self._news.get(timeout=TICK)
            except Empty:
                self._silence.listen(len(self._pending))
                if self._silence.is_over_long:
                    raise stalled(self._silence.seconds, self._team.workers.doings(), self._job.strips) from None
                continue
            if isinstance(news, list):
                self._tell(*news)
            else:
                self._settle(news, killers, most)

    def _tell(self, number: int, done: int) -> None:
        """A block that is tried again begins to count anew: only what is more than ever before is told."""
        more = done - self._told[number]
        if more > 0:
            self._told[number] = done
            self._silence.broken()
            self._listener.advance(more)

    def _settle(self, task: Task, killers: list[int], most: int) -> None:
        number = self._pending.pop(task)
        self._silence.broken()
        try:
            self._counts[number] = task.counts()
            self._tell(number, self._job.lattice.tiles_to_compute(self._blocks[number]))
        except WorkerDiedError:
            place = number, self._job.written(self._blocks[number])  # whoever got further did not die of what is there
            self._deaths[place] += 1
            if self._deaths[place] >= most:
                killers.append(number)
            else:
                self._begin(number)
        except SourceError:
            self._reads[number] += 1
            if self._reads[number] == MOST_READS:
                raise
            self._begin(number)

    def _end(self, seconds: float) -> None:
        """Let blocks finish their strip, at most so long; what does not end by then is left to itself."""
        workers = self._team.workers
        workers.stop(self._run, seconds)
        end = time.monotonic() + seconds + SECONDS_TO_STOP
        while time.monotonic() < end and any(not task.done() for task in self._pending):
            time.sleep(TICK)
        workers.forget(self._run, list(self._pending))
