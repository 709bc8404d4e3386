"""Where a run's blocks are computed: this machine, or a cluster. Dask comes when there is something to compute."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from geofcs.crew import Crew, Need, gpu_crew, local_crew
from geofcs.devices import Compute, gpus_of, settle
from geofcs.libraries import loading
from geofcs.listener import Listener
from geofcs.plan import DetectRequest
from geofcs.scoring import ModelSource

if TYPE_CHECKING:
    from geofcs.schedule.cluster import Cluster
    from geofcs.schedule.rounds import Team


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
    def team(self, crew: Crew, source: ModelSource) -> Iterator[Team]:
        """The crew, started; ended with the context. Threads of this process load the model meanwhile."""
        if crew.kind == "threads":
            begin_loading(source, crew.threads)

        with loading():
            from geofcs.schedule.local import local_team  # brings Dask, which takes most of a second

        with local_team(crew) as team:
            yield team


def begin_loading(source: ModelSource, threads: int) -> None:
    """Have a thread load a model for blocks of this process, with so many threads for its arithmetic as they take.

    Half of the load is waiting for a disk, hashes and a GPU. A block that needs the model earlier waits for it, and one
    that finds that it could not be loaded tries again and says why. Nobody waits for the thread but Python at its end.
    """
    aside = ThreadPoolExecutor(1, "geofcs-model", torch.set_num_threads, (threads,))
    aside.submit(source.load)
    aside.shutdown(wait=False)


@contextmanager
def site_of(scheduler: str | None, listener: Listener) -> Iterator[ThisMachine | Cluster]:
    """This machine, or the cluster of the scheduler at an address. Raises what `joined` raises."""
    if scheduler is None:
        yield ThisMachine()
        return

    from geofcs.schedule.cluster import joined  # brings Dask as well

    with joined(scheduler, listener) as cluster:
        yield cluster
