"""The whole job on real files: same bytes however it is split or interrupted, and clear words for bad input."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import psutil
import pyogrio
import pytest
import rasterio
import torch
from pandas.testing import assert_frame_equal

from geofcs.classes import SECOND
from geofcs.detect import check_complete, detect
from geofcs.errors import ComputeError, GeofcsError, IncompleteError, InputError, OutputError, StoppedError, UsageError
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.tiles import Lattice
from tests.stubs import Silent


@dataclass(frozen=True)
class Material:
    """A scene pair and weights, on disk."""

    t1: Path
    t2: Path
    weights: Path

    def request(self, out: Path, **changes: object) -> DetectRequest:
        """Small tiles, so that a small scene has many; untrained weights find change everywhere without a threshold."""
        given: dict[str, object] = {"tile": 64, "overlap": 16, "threads": 1, "workers": 1, "threshold": 0.5, **changes}
        return DetectRequest(str(self.t1), str(self.t2), out, self.weights, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    write_scenes(folder, SceneParameters(seed=3), Extent(300, 420))
    config = pico(classes=SECOND.count, width=8)
    weights = folder / "untrained.safetensors"
    save_weights(weights, build(config, seed=0), config, SECOND, tile=64, trained="not trained")
    return Material(folder / "t1.tif", folder / "t2.tif", weights)


def raster_hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.tif*"))}


def codes_of(out: Path) -> np.ndarray:
    with rasterio.open(out / "change.tif") as file:
        return np.asarray(file.read(1))


def percent_of(out: Path) -> np.ndarray:
    with rasterio.open(out / "probability.tif") as file:
        return np.asarray(file.read(1)).astype(int)


@pytest.fixture(scope="session")
def undisturbed(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one worker that was left alone."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    detect(material.request(out, landcover=True), Silent())
    return out


@pytest.fixture(scope="module")
def small(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A scene of six tiles."""
    folder = tmp_path_factory.mktemp("small")
    write_scenes(folder, SceneParameters(seed=3), Extent(100, 120))
    return Material(folder / "t1.tif", folder / "t2.tif", material.weights)


@pytest.fixture(scope="module")
def undisturbed_small(small: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    detect(small.request(out, landcover=True), Silent())
    return out


def test_outputs_open_and_agree(material: Material, undisturbed: Path) -> None:
    with rasterio.open(undisturbed / "change.tif") as file, rasterio.open(material.t1) as scene:
        assert (file.crs, file.transform, file.shape) == (scene.crs, scene.transform, scene.shape)
        codes = file.read(1)
    polygons = geopandas.read_file(undisturbed / "changes.gpkg", layer="changes")
    assert len(polygons) > 0
    assert polygons.is_valid.all()
    assert polygons["pixels"].sum() == np.count_nonzero((codes > 0) & (codes < SECOND.nodata))
    assert "summary" in pyogrio.list_layers(undisturbed / "changes.gpkg")[:, 0]
    assert sorted(path.name for path in undisturbed.parent.iterdir()) == ["out"]


def test_run_json_tells_how_to_repeat_the_run(material: Material, undisturbed: Path) -> None:
    run = json.loads((undisturbed / "run.json").read_text())
    assert run["plan"]["tiles"] == {"tile": 64, "overlap": 16}
    assert run["plan"]["compute"]["threads"] == 1
    assert set(run["seconds"]) == {"plan", "tiles", "rasters", "polygons"}
    for name, digest in raster_hashes(undisturbed).items():
        assert run["outputs"][name]["sha256"] == digest
    assert run["counts"]["polygons"] == len(geopandas.read_file(undisturbed / "changes.gpkg", layer="changes"))
    assert str(material.t1) in json.dumps(run["plan"]["scenes"])


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.long), 4])
def test_workers_change_no_byte(material: Material, undisturbed: Path, tmp_path: Path, workers: int) -> None:
    listener = Silent()
    detect(material.request(tmp_path / "out", landcover=True, workers=workers), listener)
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)
    assert listener.done == listener.total


@pytest.mark.parametrize("most_columns", [pytest.param(1, marks=pytest.mark.long), 3])
def test_block_shapes_change_no_byte(
    material: Material, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_columns: int
) -> None:
    cut = Lattice.blocks
    monkeypatch.setattr(Lattice, "blocks", lambda lattice, workers, **_: cut(lattice, workers, most_columns))
    run = detect(material.request(tmp_path / "out", landcover=True, workers=3), Silent())
    assert run["counts"]["strips_written"] == 6 * math.ceil(9 / most_columns)
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)


@pytest.mark.parametrize("change", [{"batch": 3}, {"threads": 2}])
def test_other_plans_agree_on_almost_every_label(
    material: Material, undisturbed: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    detect(material.request(tmp_path / "out", landcover=True, **change), Silent())
    assert np.mean(codes_of(undisturbed) == codes_of(tmp_path / "out")) >= 0.9999


def test_half_precision_agrees_on_what_changed(material: Material, undisturbed: Path, tmp_path: Path) -> None:
    """Which class changed into which is a draw between almost equal scores as long as weights are untrained."""
    detect(material.request(tmp_path / "out", precision="bf16"), Silent())
    score, half_score = (percent_of(out) for out in (undisturbed, tmp_path / "out"))
    assert np.abs(score - half_score).max() <= 1
    code, half_code = (codes_of(out) for out in (undisturbed, tmp_path / "out"))
    assert np.mean((code > 0) == (half_code > 0)) >= 0.9999
    assert np.mean(code == half_code) >= 0.99


def command(material: Material, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "geofcs", "detect", str(material.t1), str(material.t2)),
        *("--weights", str(material.weights), "-o", str(out), "--landcover", "--quiet"),
        *("--tile", "64", "--overlap", "16", "--threads", "1", "--workers", "2"),
    ]


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.long)])
def test_kills_and_restarts_change_no_byte(material: Material, undisturbed: Path, tmp_path: Path, count: int) -> None:
    out = tmp_path / "out"
    moments = random.Random(5)
    kills = 0
    while kills < count:
        process = subprocess.Popen(command(material, out), text=True)
        strips = out.with_name("out.partial") / "strips"
        wait_for(strips.exists, or_end_of=process)
        time.sleep(moments.uniform(0, 1.5))
        process.kill()
        if process.wait() == 0:
            assert raster_hashes(out) == raster_hashes(undisturbed)
            (out / "run.json").unlink()
            for path in out.iterdir():
                path.unlink()
        else:
            assert not out.exists()
            kills += 1
    subprocess.run(command(material, out), check=True)
    assert raster_hashes(out) == raster_hashes(undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def wait_for(condition: Callable[[], bool], or_end_of: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition() and or_end_of.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.long
def test_an_interrupt_of_the_whole_group_lets_worker_processes_finish_their_strips(
    material: Material, undisturbed: Path, tmp_path: Path
) -> None:
    """As a terminal sends it: to the command and its workers alike."""
    processes = [*command(material, tmp_path / "out"), "--worker-kind", "processes"]
    process = subprocess.Popen(processes, stderr=subprocess.PIPE, text=True, start_new_session=True)
    strips = tmp_path / "out.partial" / "strips"
    wait_for(lambda: any(strips.rglob("*.tif")), or_end_of=process, seconds=200)
    below = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert time.monotonic() - began < 12, "ten seconds, and the end of a process"
    assert "same command again" in said
    assert not list(strips.rglob("*.tmp")), "a worker died in the middle of a strip"
    end = time.monotonic() + 30
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in below):
        assert time.monotonic() < end, "a worker outlived the command"
        time.sleep(0.1)
    subprocess.run(processes, check=True)
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)


@pytest.fixture
def broken_weights(tmp_path: Path) -> Path:
    """Weights of a model that answers with numbers that are not finite."""
    config = pico(classes=SECOND.count, width=8)
    model = build(config, seed=0)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    save_weights(tmp_path / "broken.safetensors", model, config, SECOND, tile=64, trained="not trained")
    return tmp_path / "broken.safetensors"


def test_tiles_that_fail_end_the_run_or_become_nodata_as_asked(
    material: Material, broken_weights: Path, tmp_path: Path
) -> None:
    broken = replace(material, weights=broken_weights)
    with pytest.raises(ComputeError, match="row 0, column 0"):
        detect(broken.request(tmp_path / "out"), Silent())
    listener = Silent()
    run = detect(broken.request(tmp_path / "out", on_tile_error="nodata", worker_kind="threads"), listener)
    assert len(run["oddities"]["tiles_failed"]) == Lattice.over(300, 420, 64, 16).count
    assert (codes_of(tmp_path / "out") == SECOND.nodata).all()
    assert any("could not be computed and are nodata" in note for note in listener.notes)
    with pytest.raises(IncompleteError, match=r"run\.json lists them"):
        check_complete(tmp_path / "out", run)


def test_a_finished_output_is_refused_before_anything_is_read(material: Material, undisturbed: Path) -> None:
    request = DetectRequest("missing.tif", "missing.tif", undisturbed, material.weights)
    with pytest.raises(OutputError, match="--overwrite"):
        detect(request, Silent())


def test_a_second_run_on_an_output_is_refused_and_named_the_first(material: Material, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = subprocess.Popen(command(material, out), text=True)
    wait_for((tmp_path / "out.partial" / "strips").exists, or_end_of=first)
    first.send_signal(signal.SIGSTOP)
    second = subprocess.run(command(material, out), capture_output=True, text=True)
    first.kill()
    first.wait()
    assert second.returncode == OutputError.exit_code
    assert re.fullmatch(rf"geofcs: .*out: process {first.pid} on .*: wait for it to end, or name .*\n", second.stderr)


def test_rasters_that_were_finished_are_not_made_again(
    small: Material, undisturbed_small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = small.request(tmp_path / "out", landcover=True)
    with monkeypatch.context() as broken:
        broken.setattr("geofcs.making.polygons_of", failing)
        with pytest.raises(OutputError, match=r"no room here \(.* free, about .* more needed"):
            detect(request, Silent())
    monkeypatch.setattr("geofcs.pyramid.Pyramid.write", failing)
    monkeypatch.setattr("geofcs.space.Space.check_rasters", failing)  # they need no more room
    detect(request, Silent())
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed_small)


def test_a_disk_that_is_full_before_the_last_tile_ends_the_run_and_finished_strips_are_kept(
    small: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks only after the last tile finds room again."""
    request, listener = small.request(tmp_path / "out", tile=32, overlap=8), Silent()

    def free(_folder: Path) -> int:
        return 0 if listener.total / 2 < listener.done < listener.total else 2**40

    with monkeypatch.context() as disk:
        disk.setattr("geofcs.schedule.task.SECONDS_BETWEEN_NEWS", 0.0)
        disk.setattr("geofcs.space.SECONDS_BETWEEN_LOOKS", 0.0)
        disk.setattr("geofcs.space.MOST_OF_THE_TIME", math.inf)
        disk.setattr("geofcs.space.free_bytes", free)
        wanted = r"no room for the rasters, .* missing at least: free some .* command again \(.* free, .* needed"
        with pytest.raises(OutputError, match=wanted):
            detect(request, listener)
    finished = len(list((tmp_path / "out.partial" / "strips").rglob("*.tif")))
    assert detect(request, Silent())["counts"]["strips_kept"] >= finished


def failing(*_arguments: object, **_options: object) -> None:
    raise OutputError("no room here")


def test_an_output_that_is_a_link_lands_where_the_link_points(
    small: Material, undisturbed_small: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    detect(small.request(tmp_path / "link", landcover=True), Silent())
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["out"]
    assert (tmp_path / "link").is_symlink()
    assert raster_hashes(tmp_path / "link") == raster_hashes(undisturbed_small)


@pytest.mark.parametrize("name", ["Zürich 東京", "100%25 #1", "what?a=b&c", "a:b,c;d'e\"f", "-dash", " space "])
def test_names_that_mean_something_elsewhere_are_names(
    small: Material, undisturbed_small: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    moved = Material(
        *(
            Path(shutil.copy(path, folder / f"{name}{path.suffix}{i}{path.suffix}"))
            for i, path in enumerate((small.t1, small.t2, small.weights))
        )
    )
    inputs = sorted(path.name for path in folder.iterdir())
    detect(moved.request(folder / name, landcover=True), Silent())
    assert raster_hashes(folder / name) == raster_hashes(undisturbed_small)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*inputs, name]), "something lies beside the inputs"


def test_a_mask_in_the_output_that_would_be_replaced_is_refused(material: Material, undisturbed: Path) -> None:
    scene = SceneOptions(mask_t2=str(undisturbed / "change.tif"))
    request = material.request(undisturbed, overwrite=True, scene=scene)
    with pytest.raises(OutputError, match=r"holds the input change\.tif"):
        detect(request, Silent())


def mask_of_all(material: Material, folder: Path) -> Path:
    mask = folder / "mask.tif"
    with rasterio.open(material.t1) as scene:
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": scene.crs, "transform": scene.transform}
        with rasterio.open(mask, "w", height=scene.height, width=scene.width, **profile) as file:
            file.write(np.ones((1, *scene.shape), np.uint8))
    return mask


def test_a_scene_without_a_valid_pixel_is_refused_and_leaves_nothing(material: Material, tmp_path: Path) -> None:
    request = material.request(tmp_path / "out", scene=SceneOptions(mask_t1=str(mask_of_all(material, tmp_path))))
    with pytest.raises(InputError, match="no pixel is valid"):
        detect(request, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["mask.tif"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"threshold": 1.5}, UsageError, "--threshold 1.5"),
        ({"tile": 100_000}, InputError, "--tile 100000: 1 worker"),
        ({"overlap": 64}, InputError, "use 0 to 63"),
        ({"device": "abacus"}, InputError, "this machine has .*cpu"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    material: Material, tmp_path: Path, change: dict[str, object], kind: type[GeofcsError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        detect(material.request(tmp_path / "out", **change), Silent())
    assert not list(tmp_path.iterdir())


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs make their products while tiles are computed, as they do where a GPU or a cluster computes these."""
    monkeypatch.setattr("geofcs.run._computes_elsewhere", lambda _plan: True)


@pytest.mark.usefixtures("meanwhile")
def test_a_run_that_makes_its_products_meanwhile_gives_the_same(
    material: Material, undisturbed: Path, tmp_path: Path
) -> None:
    listener = Silent()
    detect(material.request(tmp_path / "out", landcover=True, workers=2), listener)
    assert listener.done == listener.total
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)
    one, other = (geopandas.read_file(out / "changes.gpkg", layer="changes") for out in (tmp_path / "out", undisturbed))
    assert_frame_equal(one, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.usefixtures("meanwhile")
def test_a_run_that_is_stopped_while_it_makes_its_products_goes_on(
    material: Material, undisturbed: Path, tmp_path: Path
) -> None:
    request = material.request(tmp_path / "out", landcover=True)
    with pytest.raises(StoppedError):
        detect(request, Silent(), lambda: any((tmp_path / "out.partial" / "strips").rglob("*.tif")))
    assert sorted(path.name for path in (tmp_path / "out.partial").iterdir()) == ["plan.json", "strips"]
    detect(request, Silent())
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed)


@pytest.mark.usefixtures("meanwhile")
def test_a_run_that_sees_no_valid_pixel_leaves_nothing(material: Material, tmp_path: Path) -> None:
    request = material.request(tmp_path / "out", scene=SceneOptions(mask_t1=str(mask_of_all(material, tmp_path))))
    with pytest.raises(InputError, match="no pixel is valid"):
        detect(request, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["mask.tif"]


@pytest.mark.usefixtures("meanwhile")
def test_what_goes_wrong_with_polygons_is_told_when_the_strips_are_safe(
    small: Material, undisturbed_small: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"makes more than 1 polygons: leave small ones out with --min-area"):
        detect(small.request(tmp_path / "out", landcover=True, max_polygons=1), Silent())
    detect(small.request(tmp_path / "out", landcover=True), Silent())
    assert raster_hashes(tmp_path / "out") == raster_hashes(undisturbed_small)


BUSY = """
import threading, time, torch
from geofcs import blocks
from geofcs.cli import main
from geofcs.errors import OutputError
from geofcs.scoring import ModelScorer
whole, theirs = ModelScorer.__call__, set()
def call(self, t1, t2):
    theirs.add(threading.get_ident())
    if threading.get_ident() != min(theirs) or len(theirs) < 2:
        return whole(self, t1, t2)
    large, end = torch.ones(3000, 3000), time.monotonic() + 8
    while time.monotonic() < end:
        large @ large
    return whole(self, t1, t2)
def write_strip(*_):
    if len(theirs) > 1:
        raise OutputError("x.tif: cannot write: no room")
blocks.write_strip, ModelScorer.__call__ = write_strip, call
main()
"""
"""The command, in a process of which one thread fails while the other is in a long call of a library."""

MEANWHILE = (
    "import geofcs.run; geofcs.run._computes_elsewhere = lambda _plan: True; from geofcs.cli import main; main()"
)
"""The command, as it is where a GPU computes tiles."""


def meanwhile_command(material: Material, out: Path) -> list[str]:
    return [sys.executable, "-c", MEANWHILE, *command(material, out)[3:]]


def makers() -> list[psutil.Process]:
    """Processes that make products."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if any("geofcs.maker" in word for word in each.info["cmdline"] or ())
    ]


def test_an_interrupt_ends_the_processes_that_make_products_too(material: Material, tmp_path: Path) -> None:
    process = subprocess.Popen(meanwhile_command(material, tmp_path / "out"), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(makers()) == 2, or_end_of=process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not makers()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_kills_while_products_are_made_meanwhile_change_no_byte(
    material: Material, undisturbed: Path, tmp_path: Path
) -> None:
    """Twenty first attempts, each killed at another moment, and the same command again."""
    moments, kills = random.Random(6), 0
    while kills < 20:
        out = tmp_path / "out"
        process = subprocess.Popen(meanwhile_command(material, out), text=True)
        wait_for(lambda: len(makers()) == 2, or_end_of=process)
        time.sleep(moments.uniform(0, 4))
        process.kill()
        kills += process.wait() != 0
        subprocess.run([*meanwhile_command(material, out), "--overwrite"], check=True)
        assert raster_hashes(out) == raster_hashes(undisturbed)
        psutil.wait_procs(makers(), 10)  # of a killed run, which may have begun them a moment before
        assert not makers()
        shutil.rmtree(out)
        assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_failure_beside_a_thread_that_computes_ends_the_command_with_its_exit_code(
    material: Material, tmp_path: Path
) -> None:
    given = [sys.executable, "-c", BUSY, *command(material, tmp_path / "out")[3:], "--workers", "2"]
    ended = subprocess.run(given, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 5, ended.stderr
    assert "x.tif: cannot write" in ended.stderr
    assert "terminate" not in ended.stderr
