"""A run of several processes, one for each device: the first starts the others, they agree on failures, none is left.

Every process runs the same command. The first, the leader, is the one that writes and speaks.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, TypeVar, cast

import torch.distributed
from torch.distributed import ProcessGroup

from geofcs.errors import ComputeError, GeofcsError

Result = TypeVar("Result")
Process = subprocess.Popen[bytes]

Lost = Callable[[str | None, int], NoReturn]
"""Ends this process, whose main thread may wait for another one for ever: with a sentence, if none was said yet."""

LEADER = "GEOFCS_LEADER"
"""The environment's name for the leader's process id, in those that it started."""

RANK = "LOCAL_RANK"
"""The environment's name for the number of a process, 0 being the leader; torchrun and Fabric know it as well."""

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_LEARN = 3.0
SECONDS_TO_LEAVE = 30.0


def leads() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get(RANK, "0") == "0"


@contextmanager
def joined(count: int, lost: Lost) -> Iterator[None]:
    """Inside, `count` processes run this command, of which this is one.

    The leader starts the others, unless torchrun or a scheduler did. If one of them fails, it has said why: the leader
    is `lost` with its exit code, wherever it is. If one was killed, `lost` is given a sentence. If the leader ends, so
    do the others.
    """
    others, left = [] if RANK in os.environ else _started(count), threading.Event()
    if LEADER in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[LEADER]),), daemon=True).start()
    elif others:
        threading.Thread(target=_watch, args=(others, lost, left), daemon=True).start()
    try:
        yield
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for each in others:
            with suppress(subprocess.TimeoutExpired):
                each.wait(SECONDS_TO_LEAVE)
    except RuntimeError:
        # Perhaps what another process that is gone left unfinished: then this one is ended as its watch sees fit.
        left.wait(SECONDS_TO_LEARN if count > 1 else 0)
        raise
    finally:
        left.set()
        for each in others:
            each.kill()
            each.wait()
        if others:
            _forget()


def agreed(attempt: Callable[[], Result]) -> Result:
    """What an attempt gives, if it succeeds in every process; else its error, which the leader raises for all.

    Processes that waited for each other in the middle of an attempt would wait for ever if one of them failed.
    """
    if not torch.distributed.is_initialized():
        return attempt()
    result, failure = None, None
    try:
        result = attempt()
    except GeofcsError as error:
        failure = error
    failures: list[GeofcsError | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(failures, failure, group=_on_the_cpu(torch.distributed.group.WORLD))
    first = next((each for each in failures if each is not None), None)
    if first is not None:
        raise_once(first)
    return cast(Result, result)


def raise_once(error: GeofcsError) -> NoReturn:
    """Raise what every process knows of: in the leader, which says it. The others leave quietly, and at once.

    None waits for another now, so the leader can stop the threads that carry its messages. A process in which they run
    on while Python takes itself apart may be ended by a signal, which would be told as another failure.
    """
    if not leads():
        os._exit(0)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    raise error


@functools.cache
def _on_the_cpu(_world: ProcessGroup | None) -> ProcessGroup:
    """What carries objects between the processes, without a GPU having to wait for them."""
    return cast(ProcessGroup, torch.distributed.new_group(backend="gloo"))


def _started(count: int) -> list[Process]:
    """This command in `count - 1` further processes, which meet this one at a free port."""
    if count == 1:
        return []
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(count), "NODE_RANK": "0"}
    os.environ.update(meeting, **{RANK: "0"})
    command = [sys.executable, *sys.orig_argv[1:]]
    return [
        subprocess.Popen(command, env={**os.environ, RANK: str(rank), LEADER: str(os.getpid())})
        for rank in range(1, count)
    ]


def _forget() -> None:
    """Take back what `_started` told the environment."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "NODE_RANK", RANK):
        os.environ.pop(name, None)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _watch(others: list[Process], lost: Lost, left: threading.Event) -> None:
    """In the leader: look after the others until all is done."""
    while not left.wait(SECONDS_BETWEEN_LOOKS):
        for number, each in enumerate(others, 2):
            code = each.poll()
            if code and not left.is_set():
                for other in others:
                    other.kill()
                lost(*_told(code, f"process {number} of {len(others) + 1}"))


def _told(code: int, who: str) -> tuple[str | None, int]:
    """The sentence and exit code for a process that ended with `code`; negative if a signal ended it."""
    if code > 0:
        return None, code
    why = ", mostly for want of memory" if -code == signal.SIGKILL else ""
    return f"{who} of this run was ended ({signal.Signals(-code).name}){why}", ComputeError.exit_code


def _end_with(leader: int) -> None:
    """In another process: end when the leader does."""
    while os.getppid() == leader:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(ComputeError.exit_code)
