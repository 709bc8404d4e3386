"""The lock beside an output: one run at a time writes there, and a lock whose owner is dead is taken over.

`OUT.lock` says who holds it. On one machine the system's own lock on that file (flock) decides; it ends with its
process however that ends. Where machines share a file system such locks need not reach from one to the other; so the
owner also touches the file every `BEAT` seconds, and another machine believes it dead once it has left the file alone
for `STALE`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from geofcs.errors import LostLockError, OutputError

if sys.platform != "win32":
    import fcntl

BEAT = 15.0
"""Seconds between two signs of life."""

STALE = 120.0
"""Seconds without a sign of life after which an owner on another machine counts as dead."""

PATIENCE = 2.0
"""Seconds in which a lock that changes hands shows its new owner."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock, and since when (UTC, ISO 8601)."""

    pid: int
    host: str
    since: str

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()


class Lock:
    """A lock that is held."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="geofcs-lock", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with contextlib.suppress(OSError):  # the next beat may get through
                os.utime(self._descriptor if os.utime in os.supports_fd else self._path)

    def check(self) -> None:
        """Raise `LostLockError` if another machine took the lock over, believing this process dead."""
        if not _is_at(self._path, self._descriptor):
            raise LostLockError(
                f"{self._path}: was taken over by another run while this one stood still: let that one finish"
            )

    def release(self) -> None:
        """Delete the file while it is still locked, so that whoever waits for it sees that it has gone."""
        self._end.set()
        self._thread.join()
        if _is_at(self._path, self._descriptor):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[Lock]:
    """Hold the lock of an output. The folder that it is to lie in is made, and goes again if nothing came to lie there.

    Raises `OutputError` that names the run which holds the lock, or says why none can be made.
    """
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquire(out)
    except OSError as error:
        raise OutputError(
            f"{out}: nothing can be written beside it ({error.strerror or error}): make room, or name another output"
        ) from error
    try:
        yield lock
    finally:
        lock.release()
        with contextlib.suppress(OSError):
            for parent in made:
                parent.rmdir()


def _acquire(out: Path) -> Lock:
    path = out.with_name(f"{out.name}.lock")
    until = time.monotonic() + PATIENCE
    with _candidate(path) as (candidate, descriptor):
        while not (_put(candidate, path) or _take_over(candidate, path)):
            owner = _owner(path)
            if (owner is not None and _is_alive(owner)) or time.monotonic() > until:
                raise _refusal(out, owner)
            time.sleep(0.02)
        _clear_candidates(path)
        return Lock(path, os.dup(descriptor))


@contextlib.contextmanager
def _candidate(path: Path) -> Iterator[tuple[Path, int]]:
    """A file that names this process and is locked by it: under the lock's name, none is ever seen without either."""
    candidate = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(candidate, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _flock(descriptor)
        owner = Owner(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))
        os.write(descriptor, json.dumps(asdict(owner)).encode())
        os.fsync(descriptor)
        yield candidate, descriptor
    finally:
        candidate.unlink(missing_ok=True)
        os.close(descriptor)


def _put(candidate: Path, path: Path) -> bool:
    """Give the candidate the lock's name; False if there is a lock already."""
    try:
        os.link(candidate, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        return _put_without_links(candidate, path)
    return True


def _put_without_links(candidate: Path, path: Path) -> bool:
    """The same in two steps, for FAT and the like."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    candidate.replace(path)
    return True


def _take_over(candidate: Path, path: Path) -> bool:
    """Put the candidate in the place of a lock whose owner is dead; False if it lives or somebody else is quicker."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        free = _flock(descriptor)
        if free is False or not _is_at(path, descriptor):
            return False
        owner = _owner(path)
        if owner is None or not owner.is_here:
            # By the clock of the file system: the candidate was made just now.
            dead = candidate.stat().st_mtime - path.stat().st_mtime > STALE
        else:
            dead = free is True or not psutil.pid_exists(owner.pid)
        if dead:
            candidate.replace(path)
        return dead
    finally:
        os.close(descriptor)


def _owner(path: Path) -> Owner | None:
    """Who the file names; None if it is gone or names nobody. Raises `OutputError` for a file of something else."""
    try:
        text = path.read_text(encoding="utf-8")
        return Owner(**json.loads(text)) if text else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise OutputError(f"{path}: is in the way and is no lock of geofcs: move it away") from error


def _is_alive(owner: Owner) -> bool:
    return not owner.is_here or psutil.pid_exists(owner.pid)


def _refusal(out: Path, owner: Owner | None) -> OutputError:
    who = "another run" if owner is None else f"process {owner.pid} on {owner.host}, since {owner.since},"
    return OutputError(f"{out}: {who} is writing there: wait for it to end, or name another output")


def _clear_candidates(path: Path) -> None:
    """What runs left that were killed between making a candidate and giving it the lock's name."""
    for candidate in path.parent.iterdir():
        suffix = candidate.name.removeprefix(f"{path.name}.")
        if candidate.name != suffix and len(suffix) == len(uuid.UUID(int=0).hex) and not _is_locked(candidate):
            candidate.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return _flock(descriptor) is not True
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool | None:
    """Lock an open file: False if somebody else has it, None where there are no such locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            return None
        raise
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that has this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
