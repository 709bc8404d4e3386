"""Workers killed at random moments during distributed runs: the strips are the same to the last byte."""

from __future__ import annotations

import hashlib
import random
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from geofcs.blocks import BlockJob, run_block
from geofcs.listener import never
from geofcs.schedule.cluster import joined
from tests.schedule.processes import ProcessCluster, process_cluster, wait_until
from tests.schedule.scorers import SlowSource
from tests.schedule.test_cluster import CREW
from tests.stubs import Nobody, Silent
from tests.test_blocks import stub_job
from tests.torture.faults import LOST_WORKERS, tell

RUNS = 12
MOST_KILLS = 3
"""In a run; a block that is unlucky twice is suspected and runs alone, a third time it would be given up."""


def digests(job: BlockJob) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(job.strips.glob("*.tif"))}


def kill_a_worker(cluster: ProcessCluster, choose: random.Random) -> bool:
    """SIGKILL to one of the processes under the nannies, which compute; False where none is there just now."""
    below = [each for nanny in cluster.workers for each in psutil.Process(nanny.pid).children()]
    computing = [each for each in below if computes(each)]
    if computing:
        choose.choice(computing).kill()
    return bool(computing)


def computes(process: psutil.Process) -> bool:
    """Whether it is a worker's own; one that has just died is not."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def killer(cluster: ProcessCluster, listener: Silent, choose: random.Random, tiles: int) -> list[int]:
    """Starts a thread that kills a worker once to three times during a run; the list grows with each kill."""
    moments = sorted(choose.sample(range(1, tiles - 5), choose.randint(1, MOST_KILLS)))
    kills: list[int] = []

    def kill() -> None:
        for moment in moments:
            wait_until(lambda moment=moment: listener.done >= moment)  # type: ignore[misc]
            if kill_a_worker(cluster, choose):
                kills.append(moment)

    threading.Thread(target=kill, daemon=True).start()
    return kills


@pytest.mark.long
def test_workers_killed_during_a_dozen_runs_change_no_byte(tmp_path: Path) -> None:
    choose, kills = random.Random(11), 0
    plain = stub_job(tmp_path / "plain")
    run_block(plain, plain.lattice.blocks(1, 32)[0], Nobody())
    with process_cluster(tmp_path) as cluster:
        for _ in range(2):
            cluster.start_worker()
        for number in range(RUNS):
            job, listener = replace(stub_job(tmp_path / f"run{number}"), scorer=SlowSource(400, 0.05)), Silent()
            with joined(cluster.address, Silent()) as site, site.team(CREW, "cpu") as team:
                site.client.wait_for_workers(2)
                killed = killer(cluster, listener, choose, job.lattice.count)
                done = team.run(job, job.lattice.blocks(3), listener, never)
            kills += len(killed)
            assert done.lost == []
            assert digests(job) == digests(plain)
            if killed:
                tell(LOST_WORKERS, {f"with {len(killed)} killed": 1})
    assert kills >= RUNS
