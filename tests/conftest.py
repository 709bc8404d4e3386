"""What tests of several folders share."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from geofcs.cli.app import main
from tests.commands import Command, Said, end_here
from tests.torture.faults import ENDED, LEFT_OUT, WRONG, tell

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"


def pytest_collection_finish() -> None:
    """What was imported stays: Python need not look through its million objects at every full collection."""
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell torture how a test ended, if it is the one that runs it."""
    if report.failed:
        tell(ENDED, {WRONG: 1})
    elif report.skipped:
        tell(ENDED, {LEFT_OUT: 1})
    elif report.when == "call":
        tell(ENDED, {"tests": 1})


@pytest.fixture
def geofcs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a command in this process, as its console script would."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: object) -> Said:
        monkeypatch.setattr("geofcs.cli.app.end_at_once", end_here)
        monkeypatch.setattr(sys, "argv", ["geofcs", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return Said(capsys.readouterr().err, code if isinstance(code, int) else 0)

    yield run
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def realdata() -> Path:
    """The folder of real scenes, which is not part of the project: without it a test is skipped."""
    if not REALDATA.is_dir():
        pytest.skip(f"no real scenes in {REALDATA}")
    return REALDATA
