"""An existing Dask cluster: joined by its scheduler's address, its workers compared, asked what they compute on."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from distributed import Client, wait

from geofcs.blocks import BlockJob
from geofcs.crew import BLOCKS_PER_GPU, Crew, Need
from geofcs.devices import NAMED_GPUS, Compute, kind_of, settle
from geofcs.errors import ComputeError, InputError, UsageError
from geofcs.listener import Listener
from geofcs.plan import DetectRequest
from geofcs.schedule.dask_workers import DaskWorkers
from geofcs.schedule.rounds import Team
from geofcs.schedule.terms import Terms, differing, objections, versions_here

ADDRESS = re.compile(r"(tcp|tls)://(\[[^\]]+\]|[^/:\s]+):\d+")

GPU = "GPU"
"""The resource that a worker with a GPU is started with: `dask worker --resources GPU=1`."""

SECONDS_TO_CONNECT = 20

SECONDS_FOR_WORKERS = 600
"""How long the first worker is waited for: batch systems take their time."""

SECONDS_TO_ANSWER = 120
"""How long a worker may take to open the scenes and load the model."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that was joined, and the workers that were there by then."""

    client: Client
    address: str
    workers: dict[str, dict[str, Any]]

    def settle(self, device: str, precision: str) -> Compute:
        """What the device and the precision come to on its workers, which must agree."""
        if NAMED_GPUS.fullmatch(device):
            raise UsageError(f"--device {device}: names GPUs of this machine: with --scheduler say --device cuda")
        asked = self._asked(device)
        kind = "cuda" if device == "auto" and self._has_gpu(asked[0]) else device
        answers = self.client.run(settle, kind, precision, workers=asked, on_error="return")
        self._refuse({worker: str(answer) for worker, answer in answers.items() if isinstance(answer, Exception)})
        first = answers[asked[0]]
        self._refuse({worker: f"has {answer}, others {first}" for worker, answer in answers.items() if answer != first})
        return Compute(first.device, first.precision, first.kernel)

    def crew(self, request: DetectRequest, compute: Compute, need: Need) -> Crew:
        """Its workers as a crew: those with a GPU where that is what is computed on, two blocks each."""
        if request.workers is not None:
            raise UsageError("--workers: the cluster decides how many there are: leave it out with --scheduler")
        workers = self._asked(compute.device)
        threads = [int(self.workers[worker]["nthreads"]) for worker in workers]
        if compute.device == "cuda":
            threads = [min(count, BLOCKS_PER_GPU) for count in threads]
        return Crew("cluster", len(workers), max(1, sum(threads) // len(workers)), need.threads)

    @contextmanager
    def team(self, crew: Crew, device: str) -> Iterator[Team]:  # noqa: ARG002, the crew is what it is
        """The workers, ready for blocks; each is looked at once it is known which scenes they are of."""
        resources = {GPU: 1 / BLOCKS_PER_GPU} if device == "cuda" else None
        yield Team(DaskWorkers(self.client, resources), partial(self._inspect, self._asked(device)))

    def _inspect(self, workers: list[str], terms: Terms, job: BlockJob) -> None:
        """Raise `InputError` with a line for each worker that does not meet the terms of a job."""
        futures = {
            worker: self.client.submit(objections, terms, job, workers=[worker], pure=False) for worker in workers
        }
        with suppress(TimeoutError):
            wait(list(futures.values()), timeout=SECONDS_TO_ANSWER)
        self._refuse({worker: _said(future) for worker, future in futures.items() if _said(future)})

    def _asked(self, device: str) -> list[str]:
        """Addresses of the workers that a device means: those with a GPU if it is one, or if there are any."""
        with_gpu = [worker for worker in self.workers if self._has_gpu(worker)]
        if kind_of(device) == "cuda" and not with_gpu:
            raise InputError(
                f"{self.address}: no worker has a GPU's tag: start those that have one with "
                f"dask worker --resources {GPU}=1 --nthreads {BLOCKS_PER_GPU}"
            )
        return with_gpu if with_gpu and device in ("auto", "cuda") else list(self.workers)

    def _has_gpu(self, worker: str) -> bool:
        return float(self.workers[worker].get("resources", {}).get(GPU, 0)) > 0

    def _refuse(self, against: dict[str, str]) -> None:
        """`InputError` with a line per worker that cannot be used, if there are any."""
        if against:
            lines = [f"worker {worker} {said}" for worker, said in against.items()]
            raise InputError("\n".join([f"{self.address}: cannot be used as it is:", *lines]))


def _said(future: Any) -> str:
    """A worker's objections as half a sentence."""
    if not future.done():
        return f"has not answered for {SECONDS_TO_ANSWER} s"
    error = future.exception()
    if error is not None:
        return f"cannot run geofcs ({type(error).__name__}: {error})"
    return "; it ".join(future.result())


@contextmanager
def joined(address: str, listener: Listener) -> Iterator[Cluster]:
    """The cluster of a scheduler at tcp://HOST:PORT or tls://HOST:PORT, once its software is found to be this one's.

    Raises `UsageError` for another kind of address, `InputError` where nobody answers or versions differ.
    """
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"--scheduler {address}: is not of the form tls://HOST:PORT or tcp://HOST:PORT")
    if address.startswith("tcp://") and not _is_loopback(address):
        listener.note(
            f"{address}: is not encrypted, and whoever reaches that port can run programs as its owner: use tls:// "
            "wherever others share the network (docs/cluster.md)"
        )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with _client(address) as client:
        yield Cluster(client, address, _workers(client, address, listener))


def _is_loopback(address: str) -> bool:
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{address}: no scheduler that this machine can talk to ({_brief(error)}): is it running there, is the "
            "port open, and for tls:// are DASK_DISTRIBUTED__COMM__TLS__* set (docs/cluster.md)?"
        ) from error
    with client:
        yield client


def _workers(client: Client, address: str, listener: Listener) -> dict[str, dict[str, Any]]:
    """The workers that are there, at least one, all with the software of this process, as has the scheduler."""
    if not client.scheduler_info()["workers"]:
        listener.note(f"waiting for the first worker of {address}")
    try:
        client.wait_for_workers(1, timeout=SECONDS_FOR_WORKERS)
    except TimeoutError as error:
        raise ComputeError(
            f"{address}: no worker has come for {SECONDS_FOR_WORKERS} s: start one with dask worker {address}"
        ) from error
    answers = {"its scheduler": _answer_of_scheduler(client)}
    of_workers = client.run(versions_here, on_error="return")
    answers |= {f"worker {worker}": answer for worker, answer in of_workers.items()}
    here = dict(versions_here())
    lines = [f"{who} {said}" for who, answer in answers.items() if (said := "; it ".join(_differences(here, answer)))]
    if lines:
        raise InputError("\n".join([f"{address}: has other software; install the same everywhere:", *lines]))
    return dict(client.scheduler_info(n_workers=-1)["workers"])


def _answer_of_scheduler(client: Client) -> object:
    """Its versions; an exception where it lacks geofcs, which it takes tasks apart with."""
    try:
        return client.run_on_scheduler(versions_here)
    except ImportError as error:
        return error


def _differences(here: dict[str, str], answer: object) -> list[str]:
    if isinstance(answer, tuple):
        return differing(here, dict(answer))
    return [f"has no geofcs that could be imported ({answer})"]


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
