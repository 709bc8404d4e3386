"""Running blocks as Dask tasks, on this machine or a cluster: the outermost skin, around plain functions."""

from collections.abc import Iterator
from contextlib import contextmanager

from geofcs.listener import Listener
from geofcs.schedule.cluster import Cluster, joined
from geofcs.schedule.local import ThisMachine, local_team
from geofcs.schedule.rounds import Outcome, Team, run_blocks
from geofcs.schedule.stall import ENDLESS, Patience

__all__ = [
    "ENDLESS",
    "Cluster",
    "Outcome",
    "Patience",
    "Team",
    "ThisMachine",
    "joined",
    "local_team",
    "run_blocks",
    "site_of",
]


@contextmanager
def site_of(scheduler: str | None, listener: Listener) -> Iterator[ThisMachine | Cluster]:
    """This machine, or the cluster of the scheduler at an address. Raises what `joined` raises."""
    if scheduler is None:
        yield ThisMachine()
        return
    with joined(scheduler, listener) as cluster:
        yield cluster
