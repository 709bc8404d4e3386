"""Loaded by worker processes of this machine before anything else."""

from __future__ import annotations

import signal

from distributed import Worker

from geofcs.noise import print_no_undecodable_messages


def dask_setup(_worker: Worker) -> None:
    """Leave interrupts and terminations, and what is printed, to the process that started this one, and which ends it.

    A terminal sends Ctrl-C, and a batch system a termination, to all of them at once: strips under way would be lost.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    print_no_undecodable_messages()
