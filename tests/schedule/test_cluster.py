"""Blocks on an existing cluster: separate scheduler and worker processes on loopback; what speaks against a worker."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dask
import pytest

from geofcs.blocks import BlockJob, run_block
from geofcs.classes import SECOND
from geofcs.crew import Crew
from geofcs.errors import ComputeError, InputError, SourceError, UsageError
from geofcs.listener import never
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import read_weights_info, save_weights
from geofcs.schedule.cluster import GPU, joined
from geofcs.schedule.terms import Terms, differing, objections, terms_for
from geofcs.scoring import ModelSource
from geofcs.tiles import Block
from tests.schedule import counted_loads
from tests.schedule.processes import ProcessCluster, process_cluster, when
from tests.schedule.scorers import CountedSource, SlowSource
from tests.stubs import Nobody, Silent, StubPair, StubReader
from tests.test_blocks import mosaic, run, stub_job

CREW = Crew("cluster", 2, 1, 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessCluster]:
    """Two workers, one of which says that it has a GPU; they count the models that they load."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "loads").mkdir()
    with process_cluster(folder, LOADS=str(folder / "loads")) as processes:
        processes.start_worker("--no-nanny", "--resources", f"{GPU}=1", preload=Path(counted_loads.__file__))
        processes.start_worker("--no-nanny", preload=Path(counted_loads.__file__))
        yield processes


@pytest.fixture
def model(tmp_path: Path) -> ModelSource:
    """A small one."""
    config, path = pico(classes=SECOND.count, width=4), tmp_path / "w.safetensors"
    save_weights(path, build(config, 0), config, SECOND, tile=64, trained="not trained")
    return ModelSource(path, read_weights_info(path).sha256, "cpu", "fp32")


def test_what_a_gpu_is_asked_for_runs_where_there_is_one_which_loads_the_model_once(
    tmp_path: Path, cluster: ProcessCluster, model: ModelSource
) -> None:
    """Two pairs of several blocks each."""
    jobs = [replace(stub_job(tmp_path / name, 150, 150), scorer=model) for name in ("one", "other")]
    blocks = jobs[0].lattice.blocks(2, 1)
    assert len(blocks) > 2
    with joined(cluster.address, Silent()) as site:
        site.client.wait_for_workers(2)
        with site.team(CREW, "cuda") as team:
            for job in jobs:
                team.run(job, blocks, Silent(), never)
    loads = [path.name.partition("-")[0] for path in (cluster.folder / "loads").iterdir()]
    assert loads == [str(cluster.workers[0].pid)]
    plain = run(replace(stub_job(tmp_path / "plain", 150, 150), scorer=model), 1, 32)
    assert all((mosaic(job, blocks) == plain).all() for job in jobs)


@dataclass(frozen=True)
class HiddenPair(StubPair):
    """A scene that only one process sees."""

    process: int = 0

    def open(self) -> StubReader:
        if os.getpid() != self.process:
            raise SourceError("/scenes/t1.tif: no such file")
        return super().open()


def test_workers_that_see_no_scene_are_refused_one_by_one(tmp_path: Path, cluster: ProcessCluster) -> None:
    job = replace(stub_job(tmp_path / "strips"), pair=HiddenPair(300, 400, process=os.getpid()))
    with joined(cluster.address, Silent()) as site:
        site.client.wait_for_workers(2)
        both = replace(site, workers=site.client.scheduler_info()["workers"])
        with pytest.raises(InputError) as refusal, both.team(CREW, "cpu") as team:
            team.run(job, job.lattice.blocks(2), Silent(), never)
    first, *lines = str(refusal.value).splitlines()
    assert first == f"{cluster.address}: cannot be used as it is:"
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("worker tcp://127.0.0.1:")
        assert line.endswith("cannot read a scene (/scenes/t1.tif: no such file)")
    assert not list(job.strips.iterdir())


def test_a_killed_worker_changes_no_byte_and_costs_only_the_strips_under_way(
    tmp_path: Path, cluster: ProcessCluster
) -> None:
    """Killed at the last tile of the fifth of six rows of a block, which are two strips under way."""
    for name in ("deaths", "calls"):
        (tmp_path / name).mkdir()
    dies_once = CountedSource(400, tmp_path / "deaths", 1, row=220, col=390, calls=tmp_path / "calls")
    job = replace(stub_job(tmp_path / "strips"), scorer=dies_once)
    listener, rows = Silent(), job.lattice.rows.count
    blocks = [Block(0, rows, first, stop) for first, stop in ((0, 3), (3, 5), (5, 8))]
    with joined(cluster.address, Silent()) as site, site.team(CREW, "cpu") as team:
        done = team.run(job, blocks, listener, never)
    assert sum(worker.poll() is not None for worker in cluster.workers) == 1
    assert (done.lost, len(done.counts)) == ([], len(blocks))
    assert sum(counts.strips_kept for counts in done.counts) == 4
    tiles = sum(map(job.lattice.tiles_to_compute, blocks))
    in_a_row = job.lattice.tiles_to_compute(blocks[2]) // rows
    assert len(list((tmp_path / "calls").iterdir())) == tiles + 2 * in_a_row - 1
    assert listener.done == tiles
    assert (mosaic(job, blocks) == run(stub_job(tmp_path / "plain"), 1, 32)).all()
    assert not list(job.strips.glob("*.token"))


@pytest.mark.parametrize("address", ["localhost:8786", "http://h:1", "tcp://h", "tcp://h:x", "tcp:///1:2", "--help"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="is not of the form tls://HOST:PORT"), joined(address, Silent()):
        pass


def test_nobody_at_an_address_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofcs.schedule.cluster.SECONDS_TO_CONNECT", 0.5)
    with pytest.raises(InputError, match="no scheduler that this machine can talk to") as told:  # noqa: SIM117
        with joined("tcp://127.0.0.1:9", Silent()):
            pass
    assert "\n" not in str(told.value)


def test_an_open_port_that_others_reach_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofcs.schedule.cluster.SECONDS_TO_CONNECT", 0.5)
    for address, warned in (("tcp://localhost:9", False), ("tcp://127.0.0.1:9", False), ("tcp://192.0.2.7:9", True)):
        listener = Silent()
        with pytest.raises(InputError), joined(address, listener):
            pass
        assert [("use tls://" in note) for note in listener.notes] == [True] * warned


def test_versions_that_differ_are_named() -> None:
    here = {"torch": "2.12", "gdal of rasterio": "3.10", "numpy": "2.4"}
    assert differing(here, {"torch": "2.13", "numpy": "2.4"}) == [
        "has torch 2.13, here it is 2.12",
        "has gdal of rasterio nowhere, here it is 3.10",
    ]


def test_a_worker_on_another_disk_objects(tmp_path: Path) -> None:
    job = stub_job(tmp_path / "strips")
    with terms_for(job) as terms:
        assert objections(terms, job) == []
        assert "sees another" in objections(replace(terms, text="of another folder"), job)[0]
        assert "does not see" in objections(Terms(terms.versions, tmp_path / "elsewhere" / "token", ""), job)[0]
    assert not list(job.strips.iterdir())


@pytest.mark.long
def test_a_worker_of_another_version_is_refused(tmp_path: Path) -> None:
    preload = tmp_path / "older.py"
    preload.write_text("import geofcs.report\n\ngeofcs.report.__version__ = '0.0'\n")
    with process_cluster(tmp_path) as processes:
        processes.start_worker("--no-nanny", preload=preload)
        with pytest.raises(InputError, match=r"other software.*\nworker tcp://.* has geofcs 0\.0, here it is"):  # noqa: SIM117
            with joined(processes.address, Silent()):
                pass


@pytest.mark.long
def test_a_lost_scheduler_ends_the_run_which_another_finishes_to_the_same_bytes(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), scorer=SlowSource(400, 0.05))
    plain, blocks = stub_job(tmp_path / "plain"), job.lattice.blocks(1)
    listener = Silent()
    with process_cluster(tmp_path) as processes:
        processes.start_worker("--no-nanny")
        killer = when(lambda: listener.done > 12, processes.scheduler.kill)
        began = time.monotonic()
        with pytest.raises(ComputeError, match="connection to the scheduler was lost"):  # noqa: SIM117
            with joined(processes.address, Silent()) as site, site.team(CREW, "cpu") as team:
                team.run(job, blocks, listener, never)
        killer.join()
    assert time.monotonic() - began < 90
    another = tmp_path / "another"
    another.mkdir()
    with process_cluster(another) as processes:
        processes.start_worker("--no-nanny")
        with joined(processes.address, Silent()) as site, site.team(CREW, "cpu") as team:
            done = team.run(job, blocks, Silent(), never)
    assert 1 <= done.counts[0].strips_kept < job.lattice.rows.count
    run_block(plain, blocks[0], Nobody())
    assert strips(job) == strips(plain)


def strips(job: BlockJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.strips.glob("*.tif")}


@pytest.mark.long
def test_a_cluster_behind_tls_is_joined_with_its_certificate(tmp_path: Path) -> None:
    """The commands of docs/cluster.md."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=geofcs"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    options = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(tmp_path / "cert.pem")}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        options[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(tmp_path / "cert.pem")
        options[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(tmp_path / "key.pem")
    job = stub_job(tmp_path / "strips")
    with process_cluster(tmp_path, DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION="True", **options) as processes:
        processes.start_worker("--no-nanny")
        assert processes.address.startswith("tls://")
        with pytest.raises(InputError, match="no scheduler that this machine can talk to"):  # noqa: SIM117
            with joined(processes.address, Silent()):
                pass
        tls = {
            "ca-file": tmp_path / "cert.pem",
            "client.cert": tmp_path / "cert.pem",
            "client.key": tmp_path / "key.pem",
        }
        with dask.config.set({f"distributed.comm.tls.{name}": str(path) for name, path in tls.items()}):  # noqa: SIM117
            with joined(processes.address, Silent()) as site, site.team(CREW, "cpu") as team:
                team.run(job, job.lattice.blocks(1), Silent(), never)
    assert (mosaic(job, job.lattice.blocks(1)) == run(stub_job(tmp_path / "plain"), 1, 32)).all()
