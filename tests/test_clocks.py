"""Durations come from clocks that never jump, and records tell times that mean the same everywhere."""

from __future__ import annotations

import ast
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from geofcs.detect import detect
from geofcs.run import Clock
from geofcs.schedule.stall import ENDLESS, Silence
from tests.stubs import Silent
from tests.test_detect import Material, material, small
from tests.test_imports import modules, top_name

__all__ = ["material", "small"]


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Nine hours before UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_a_clock_that_is_set_back_changes_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an hour each time that somebody looks."""
    hours, now = itertools.count(1), time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(hours))
    clock, silence = Clock(), Silence(Silent(), ENDLESS)
    with clock.stage("a nap"):
        time.sleep(0.02)
    silence.listen(1)
    assert 0.02 <= clock.seconds["a nap"] < 10
    assert 0.02 <= silence.seconds < 10


def test_records_tell_times_in_utc_wherever_they_are_written(
    small: Material, tmp_path: Path, in_tokyo: pytest.MonkeyPatch
) -> None:
    assert in_tokyo
    began = datetime.now(UTC)
    detect(small.request(tmp_path / "out"), Silent())
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    started, finished = (datetime.fromisoformat(run[name]) for name in ("started", "finished"))
    assert started.utcoffset() == finished.utcoffset() == timedelta(0)
    assert began - timedelta(seconds=1) <= started <= finished <= datetime.now(UTC)


def called(path: Path) -> list[tuple[str, int]]:
    """What a module calls, as it is written there, and with how many arguments."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), len(call.args) + len(call.keywords)) for call in calls]


def test_nothing_but_the_benchmarks_asks_for_the_time_of_the_wall_clock_or_of_a_zone() -> None:
    """`bench` compares its own times with those of other processes."""
    for path in modules():
        for name, arguments in called(path) if top_name(path) != "bench" else []:
            assert name not in ("time.time", "time.ctime", "time.localtime", "datetime.utcnow", "datetime.today"), path
            assert name != "datetime.now" or arguments == 1, path
            assert name != "datetime.fromtimestamp" or arguments == 2, path
