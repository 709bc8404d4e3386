"""The lock beside an output: one holder at a time, named to the others, replaced when it is dead."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geofcs import lock
from geofcs.errors import OutputError
from geofcs.lock import locked

DEAD = 2**22 + 1
"""No process has this number: Linux gives none above 2**22."""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def lock_file(out: Path) -> Path:
    return out.with_name("out.lock")


def left_by(out: Path, pid: int, host: str, seconds_ago: float = 0) -> None:
    """A lock file whose owner no longer holds the system's lock on it."""
    lock_file(out).write_text(json.dumps({"pid": pid, "host": host, "since": "2026-01-01T00:00:00+00:00"}))
    then = time.time() - seconds_ago
    os.utime(lock_file(out), (then, then))


def test_a_second_run_is_refused_and_told_of_the_first(out: Path) -> None:
    with locked(out):
        wanted = rf"process {os.getpid()} on {socket.gethostname()}, since \d{{4}}-.*wait for it to end"
        with pytest.raises(OutputError, match=wanted), locked(out):
            pass
    assert not list(out.parent.iterdir())


def test_a_lock_is_free_again_after_its_holder(out: Path) -> None:
    for _ in range(2):
        with locked(out):
            assert lock_file(out).exists()


def test_other_outputs_in_the_folder_have_locks_of_their_own(out: Path) -> None:
    with locked(out), locked(out.with_name("other")):
        pass


@pytest.mark.parametrize("pid", [DEAD, os.getpid()], ids=["gone", "its number given to another"])
def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over(out: Path, pid: int) -> None:
    left_by(out, pid, socket.gethostname())
    with locked(out):
        assert json.loads(lock_file(out).read_text())["pid"] == os.getpid()
    assert not list(out.parent.iterdir())


def test_the_lock_of_another_machine_is_taken_over_when_it_shows_no_life(out: Path) -> None:
    left_by(out, DEAD, "elsewhere", seconds_ago=lock.STALE / 2)
    with pytest.raises(OutputError, match=r"process .* on elsewhere"), locked(out):
        pass
    left_by(out, DEAD, "elsewhere", seconds_ago=lock.STALE * 2)
    with locked(out):
        assert json.loads(lock_file(out).read_text())["host"] == socket.gethostname()


def test_a_holder_shows_life(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with locked(out):
        os.utime(lock_file(out), (0, 0))
        until = time.monotonic() + 5
        while lock_file(out).stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert lock_file(out).stat().st_mtime > 0


def test_a_holder_notices_that_its_lock_was_taken_over(out: Path) -> None:
    with locked(out) as held:
        held.check()
        lock_file(out).unlink()
        left_by(out, DEAD, "elsewhere")
        with pytest.raises(OutputError, match="taken over"):
            held.check()
    assert lock_file(out).exists(), "the lock of the other run was deleted"


@pytest.mark.parametrize("system_locks", [True, False])
def test_without_the_system_s_locks_the_number_of_the_process_decides(
    out: Path, monkeypatch: pytest.MonkeyPatch, system_locks: bool
) -> None:
    if not system_locks:
        monkeypatch.setattr(lock, "_flock", lambda _descriptor: None)
    with locked(out), pytest.raises(OutputError, match=f"process {os.getpid()} "), locked(out):
        pass
    left_by(out, DEAD, socket.gethostname())
    with locked(out):
        pass


def test_without_hard_links_the_lock_holds_as_well(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_paths: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with locked(out), pytest.raises(OutputError, match=f"process {os.getpid()} "), locked(out):
        pass


def test_a_file_of_something_else_is_left_alone(out: Path) -> None:
    lock_file(out).write_text("my bicycle")
    with pytest.raises(OutputError, match="no lock of geofcs: move it away"), locked(out):
        pass
    assert lock_file(out).read_text() == "my bicycle"


def test_folders_made_for_nothing_go_again(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b" / "out"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not list(tmp_path.iterdir())


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="nothing can be written beside it"), locked(tmp_path / "file" / "out"):
        pass


def test_what_killed_starts_left_goes(out: Path) -> None:
    orphan = out.with_name("out.lock." + "0" * 32)
    orphan.touch()
    with locked(out):
        assert not orphan.exists()


HOLD = "import sys, pathlib, geofcs.lock as l\nwith l.locked(pathlib.Path(sys.argv[1])): print(1, flush=1); input()"


def test_a_lock_ends_with_a_process_that_is_killed(out: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "1\n"
        with pytest.raises(OutputError, match=f"process {holder.pid} "), locked(out):
            pass
        holder.kill()
    with locked(out):
        pass


def hold_for_a_moment(out: Path, queue: Callable[[str], None]) -> None:
    try:
        with locked(out), (out.with_name("alone")).open("x"):
            time.sleep(0.01)
            out.with_name("alone").unlink()
            queue("held")
    except OutputError:
        queue("refused")


def test_of_many_starts_at_once_never_two_hold_the_lock(out: Path) -> None:
    """`open("x")` in a holder fails, and its answer is missing, if there is another one."""
    left_by(out, DEAD, socket.gethostname())
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    starts = [context.Process(target=_many_times, args=(out, answers)) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    said = [answers.get() for _ in range(3 * ROUNDS)]
    assert said.count("held") >= 1
    assert set(said) <= {"held", "refused"}
    assert [start.exitcode for start in starts] == [0, 0, 0]


ROUNDS = 20


def _many_times(out: Path, answers: multiprocessing.queues.SimpleQueue[str]) -> None:
    for _ in range(ROUNDS):
        hold_for_a_moment(out, answers.put)
