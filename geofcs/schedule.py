"""Running blocks as Dask tasks: the outermost skin, around plain functions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from distributed import Client, Event, LocalCluster, as_completed, get_worker

from geofcs.blocks import BlockCounts, BlockJob, run_block
from geofcs.tiles import Block

LOOPBACK = "127.0.0.1:0"
"""Where Dask's pages are served: it insists on serving them, by default to every host that can reach this one."""


class _StoppedError(Exception):
    """A block was told to stop because another one failed."""


def run_blocks(
    job: BlockJob, blocks: Sequence[Block], workers: int, progress: Callable[[int], None]
) -> list[BlockCounts]:
    """Run all blocks on `workers` threads of this process; `progress` is told of tiles done, from another thread.

    The first block that fails stops the others at their next batch, and its `GeofcsError` is raised here.
    """
    run = uuid.uuid4().hex
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=workers, processes=False, memory_limit=0,
            dashboard_address=LOOPBACK, worker_dashboard_address=LOOPBACK,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        client.subscribe_topic(run, lambda event: progress(event[1]))
        futures = client.map(_run_block, blocks, job=job, run=run, pure=False, retries=0)
        try:
            return [future.result() for future in as_completed(futures)]
        except BaseException:
            Event(run, client=client).set()
            raise


def _run_block(block: Block, job: BlockJob, run: str) -> BlockCounts:
    worker = get_worker()
    stop = Event(run)

    def progress(tiles: int) -> None:
        worker.log_event(run, tiles)
        if stop.is_set():
            raise _StoppedError

    return run_block(job, block, progress)
