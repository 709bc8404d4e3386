"""Where a run's blocks are computed: this machine, or a cluster. Dask comes where there are other processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geofcs.crew import Crew, Need, gpu_crew, local_crew
from geofcs.devices import Compute, gpus_of, settle
from geofcs.listener import Listener
from geofcs.plan import DetectRequest
from geofcs.schedule.rounds import Team
from geofcs.schedule.threads import thread_team

if TYPE_CHECKING:
    from geofcs.schedule.cluster import Cluster


class ThisMachine:
    """The site of a run without a cluster."""

    def settle(self, device: str, precision: str) -> Compute:
        """What the device and the precision come to here."""
        return settle(device, precision)

    def crew(self, request: DetectRequest, compute: Compute, need: Need) -> Crew:
        """A crew for a request. Raises `InputError` where it has too little memory."""
        if compute.device == "cuda":
            here, *_ = gpus_of("cuda")
            return gpu_crew(gpus_of(request.device), here, request.workers, request.worker_kind, need)
        if compute.device != "cpu":
            return Crew("threads", 1, request.workers or 1, need.threads)
        return local_crew(request.workers, request.worker_kind, need)

    @contextmanager
    def team(self, crew: Crew, device: str) -> Iterator[Team]:  # noqa: ARG002, its GPUs are in the crew
        """The crew, started; ended with the context."""
        with local_team(crew) as team:
            yield team


@contextmanager
def local_team(crew: Crew) -> Iterator[Team]:
    """A crew of this machine, started; ended with the context."""
    if crew.kind == "threads":
        with thread_team(crew.slots) as team:
            yield team
        return

    from geofcs.schedule.processes import process_team  # brings Dask, which takes most of a second

    with process_team(crew) as team:
        yield team


@contextmanager
def site_of(scheduler: str | None, listener: Listener) -> Iterator[ThisMachine | Cluster]:
    """This machine, or the cluster of the scheduler at an address. Raises what `joined` raises."""
    if scheduler is None:
        yield ThisMachine()
        return

    from geofcs.schedule.cluster import joined  # brings Dask as well

    with joined(scheduler, listener) as cluster:
        yield cluster
