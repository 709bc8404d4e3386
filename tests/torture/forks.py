"""Runs as forked processes, so that imports are paid once; each tells its stages, and can be killed at any moment.

The parent must have no threads that hold locks: it imports everything and opens nothing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from geofcs.errors import GeofcsError
from geofcs.journal import Journal
from tests.torture.faults import PUBLISH, START

KILLED = -signal.SIGKILL
"""The exit code of a process that was killed."""

FAULT = 99
"""The exit code of a run that failed in a way that users would see as a traceback."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (or `KILLED`), the stage it was in, and everything it wrote to stderr."""

    code: int
    stage: str
    said: str


class Stages:
    """A listener that writes the name of each stage to a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._stage = ""

    def note(self, sentence: str) -> None:
        """Nothing."""

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:  # noqa: ARG002
        """The stage, as a line."""
        self._stage = name
        os.write(self._pipe, f"{name}\n".encode())

    def advance(self, units: int) -> None:
        """Nothing."""


class Fork:
    """A run in a process of its own."""

    def __init__(self, run: Callable[[Stages], None], log: Path) -> None:
        self._log = log
        log.write_bytes(b"")  # a run may be killed before it has opened it
        self._pipe, child_end = os.pipe()
        self._stages = [START]
        self._unread = b""
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_run(run, child_end, log)
        os.close(child_end)

    @property
    def stage(self) -> str:
        """The stage that it is in, as far as is known here."""
        return self._stages[-1]

    def wait_for_stage(self, stage: str, seconds: float = 120) -> None:
        """Return when the run has come to a stage, or has ended."""
        until = time.monotonic() + seconds
        while stage not in self._stages and self._read(until - time.monotonic()):
            pass

    def _read(self, seconds: float) -> bool:
        """Hear of new stages; False once there will be none."""
        if not select.select([self._pipe], [], [], max(0.0, seconds))[0]:
            raise TimeoutError(f"a run is stuck in {self.stage}: {self._log.read_text()}")
        heard = os.read(self._pipe, 4096)
        *lines, self._unread = (self._unread + heard).split(b"\n")
        self._stages += [line.decode() for line in lines]
        return bool(heard)

    def kill(self) -> None:
        """As the system does when memory runs out: at once."""
        os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> Ended:
        """Wait for the end."""
        while self._read(120):
            pass
        os.close(self._pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Ended(code, self.stage, self._log.read_text())


def _be_the_run(run: Callable[[Stages], None], pipe: int, log: Path) -> None:
    """What the child does; it ends in here."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    stages = Stages(pipe)
    _tell_publication(stages)
    os._exit(_exit_code(run, stages))


def _exit_code(run: Callable[[Stages], None], stages: Stages) -> int:
    """As the command line does it."""
    try:
        run(stages)
    except GeofcsError as error:
        sys.stderr.write(f"geofcs: {error}\n")
        return error.exit_code
    except BaseException:  # noqa: BLE001, a forked process must never return into its parent's code
        traceback.print_exc()
        return FAULT
    finally:
        sys.stderr.flush()
    return 0


def _tell_publication(stages: Stages) -> None:
    complete = Journal.complete

    def complete_and_tell(journal: Journal, run: dict[str, object]) -> dict[str, object]:
        stages.stage(PUBLISH, 0, "", 0)
        return complete(journal, run)

    mock.patch.object(Journal, "complete", complete_and_tell).start()
