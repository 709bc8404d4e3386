"""Loaded by worker processes of this machine before anything else.

With it comes all that jobs consist of and blocks need; torch alone takes seconds. A worker is there when it has loaded
that: in a block's time it would pass for a run in which nothing is finished.
"""

from __future__ import annotations

import signal

from distributed import Worker

import geofcs.plan
import geofcs.schedule.dask_workers  # noqa: F401, as said above
from geofcs.noise import print_no_undecodable_messages


def dask_setup(_worker: Worker) -> None:
    """Leave interrupts and terminations, and what is printed, to the process that started this one, and which ends it.

    A terminal sends Ctrl-C, and a batch system a termination, to all of them at once: strips under way would be lost.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    print_no_undecodable_messages()
