"""Benchmarks time what they say, against what they say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from geofcs.bench.fresh import Used, in_a_fresh_process
from geofcs.bench.machine import machine
from geofcs.bench.marks import rows
from geofcs.bench.model import ModelTimes, scan_share
from geofcs.bench.operations import operations
from geofcs.bench.rates import COPY_BYTES, MATRIX_SIDE
from geofcs.bench.run import Request, Results, bench
from geofcs.bench.scan import stages_of
from geofcs.bench.scene import SceneTimes
from geofcs.bench.setting import Setting, sizes_of
from geofcs.bench.timing import Clock
from geofcs.bench.with_model import time_with_model
from geofcs.cli.app import app
from geofcs.errors import UsageError
from geofcs.model.ops import four_direction_scan
from geofcs.model.sizes import changemamba, mamba_fcs, scannet


def slow_model(_t1: Tensor, _t2: Tensor) -> None:
    """Takes 50 ms, whatever it is given."""
    time.sleep(0.05)


def twice(*arguments: Tensor) -> Tensor:
    """The scan, and once more."""
    four_direction_scan(*arguments)
    return four_direction_scan(*arguments)


@pytest.fixture(autouse=True)
def small_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every figure is held against is measured on so little that it takes no second: nobody reports it."""
    monkeypatch.setitem(COPY_BYTES, "cpu", 2**24)
    monkeypatch.setitem(MATRIX_SIDE, "cpu", 512)


def measured(part: str, other: str | None = None, size: int = 32, repeats: int = 3) -> Results:
    request = Request((part,), "cpu", ("pico",), size, 1, ("fp32",), repeats=repeats, threads=1, other=other)
    return bench(request, lambda _: None)


def test_a_median_is_of_the_calls_in_turn() -> None:
    seen: list[str] = []
    clock = Clock("cpu", 3)
    clock.medians({"a": [lambda: seen.append("a1"), lambda: seen.append("a2")], "b": [lambda: seen.append("b")]})
    assert seen == ["a1", "a2", "b", "a1", "b", "a2", "b", "a1", "b"]


def test_the_floor_counts_the_published_operations() -> None:
    assert operations(mamba_fcs("base", 7), 512) / 1e9 == pytest.approx(555, abs=5)
    assert operations(scannet("resnet34", 7), 512) / 1e9 == pytest.approx(530, abs=0.5)


def test_the_scans_of_a_pair_are_those_that_the_model_runs_the_dates_rearranged_ones_as_well() -> None:
    base = [(each.channels, each.height, each.width, each.runs) for each in stages_of(mamba_fcs("base", 7), 512)]
    assert base == [(256, 128, 128, 7), (512, 64, 64, 7), (1024, 32, 32, 33), (2048, 16, 16, 7)]
    rival = {(each.channels, each.height, each.width): each.runs for each in stages_of(changemamba("base", 7), 512)}
    assert sum(rival.values()) == 2 * (2 + 2 + 15 + 2) + 4 * (3 + 2)
    assert rival[256, 128, 256] == 2  # interleaved, and side by side: 32,768 positions


def test_a_rivals_ratio_is_held_against_mamba_fcss_own() -> None:
    def timed(model: str, seconds: float, precision: str = "bf16") -> ModelTimes:
        return ModelTimes(model, 512, 8, precision, 1e12, 1e14, {"geofcs": seconds}, None, {})

    models = (timed("base", 0.02), timed("changemamba", 0.025), timed("changemamba", 0.1, "fp32"))
    found = [
        row
        for row in rows(Results(machine("cpu"), 1.0, {}, scans=(), models=models, trainings=(), scenes=(), polygons=()))
        if "own ratio" in row.what
    ]
    assert [(row.ratio, row.marks.must) for row in found] == [("1.25 x", "1.3 x")]


@pytest.mark.parametrize("unknown", ["huge", "changemamba-huge"])
def test_a_model_that_is_not_known_is_refused_with_those_there_are(unknown: str) -> None:
    with pytest.raises(UsageError, match=rf"--model {unknown}: known are pico, .*changemamba, changemamba-pico"):
        sizes_of(unknown)


def test_a_model_is_held_against_products_and_another_beside_it() -> None:
    (model,) = measured("model", f"{__name__}:slow_model").models
    assert model.seconds[f"{__name__}:slow_model"] == pytest.approx(0.05, rel=0.5)
    assert model.seconds["geofcs"] > 0
    assert model.ratio("geofcs") == pytest.approx(model.seconds["geofcs"] * model.matrix_rate / model.operations)
    assert model.scan_share is not None
    assert 0 < model.scan_share < 1
    assert model.first_tile["fresh process"] > 0


def test_a_model_without_a_scan_has_no_share_of_it() -> None:
    assert scan_share(lambda: torch.ones(3) + 1) is None


def test_a_scan_is_held_against_copies_of_its_input() -> None:
    (scan,) = measured("scan", f"{__name__}:twice", repeats=31).scans
    ours, other = (scan.ratio(name, "forward") for name in ("geofcs", f"{__name__}:twice"))
    assert 1.2 * ours < other
    assert scan.ratio("geofcs", "both") > ours
    assert scan.published_ratio("geofcs", "forward") is None  # other shapes than the marks'


def test_a_training_step_is_timed_without_a_gpu_as_well() -> None:
    (training,) = measured("train", size=64).trainings
    assert (training.size, training.batch, training.passes) == (64, 1, "plain")
    assert training.seconds > 0
    assert training.peak_bytes is None


def test_a_whole_run_is_held_against_gdal_over_the_same_files() -> None:
    (scene,) = measured("scene", size=600).scenes
    assert isinstance(scene, SceneTimes)
    assert (scene.size, scene.workers) == (600, 1)
    assert scene.polygons > 50
    assert {"tiles", "rasters", "polygons"} <= scene.stages.keys()
    assert 0 < scene.stub_core_seconds < scene.detect.core_seconds < scene.detect.seconds * 2
    per_area = (scene.detect.core_seconds - scene.stub_core_seconds) / 0.0036
    assert scene.core_seconds_per_100_megapixels == pytest.approx(per_area)
    assert scene.ratio == pytest.approx(scene.detect.seconds / sum(scene.steps.values()))


def test_polygons_are_held_against_one_call_on_the_whole_raster(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(call: Callable[..., object], *arguments: object) -> tuple[object, Used]:
        return call(*arguments), Used(0.0, 0.0, 10**8)

    monkeypatch.setattr("geofcs.bench.polygons.in_a_fresh_process", here)  # two of them take three seconds to start
    found = measured("polygons", size=300)
    (polygons,) = found.polygons
    assert polygons.ours.polygons == polygons.at_once.polygons > 800
    assert polygons.ratio == pytest.approx(polygons.ours.core_seconds / polygons.at_once.core_seconds)
    assert polygons.at_once.core_seconds > 0
    assert found.as_json()["polygons"][0]["over_single_call"] == polygons.ratio
    assert any(row.ratio == f"{polygons.ratio:.2f} x one call of GDAL" for row in rows(found))


def test_the_memory_of_a_fresh_process_is_its_own() -> None:
    large = np.ones(2**25)
    del large
    _, used = in_a_fresh_process(os.getpid)
    assert 1e6 < used.peak_bytes < 2**27


def test_the_command_prints_ratios_and_writes_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geofcs.bench.model.first_tile", lambda *_: {"fresh process": 2.0})  # which takes three
    path = tmp_path / "figures.json"
    threads = torch.get_num_threads()
    arguments = ["model", "--model", "pico", "--size", "32", "--precision", "fp32", "--repeats", "1", "--threads", "1"]
    try:
        done = CliRunner().invoke(app, ["bench", *arguments, "--device", "cpu", "--quiet", "--json", str(path)])
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    assert "x floor" in done.output
    content = json.loads(path.read_text())
    assert content["model"][0]["over_floor"]["geofcs"] > 0
    assert content["machine"]["threads"] == 1


@pytest.mark.parametrize(
    ("request_of", "said"),
    [
        (lambda: Request(("scan",), precisions=("int8",)), "--precision int8"),
        (lambda: Request((), other="a:b"), "--other"),
        (lambda: bench(Request(("model",), "cpu", other="nowhere:f", repeats=1), lambda _: None), "nowhere"),
    ],
)
def test_what_cannot_be_timed_is_said(request_of: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        request_of()  # type: ignore[operator]


@pytest.mark.long
def test_a_run_with_a_model_is_held_against_the_model_by_itself() -> None:
    said: list[str] = []
    times = time_with_model(Setting("pico", 64, 2, "fp32"), 600, 1, Clock("cpu", 2), said.append)
    assert said
    assert times.tiles == 11 * 11
    assert times.scored >= times.tiles
    assert 0 < times.pace.tiles <= times.scored
    assert times.before > 0 < times.after
    assert times.over_model == pytest.approx(times.detect.seconds / (121 * times.alone))
    assert times.rate_share == pytest.approx(times.pace.tiles / (times.pace.end - times.pace.start) * times.alone)
    assert times.detect.seconds > sum(times.stages.values()) > times.stages["tiles"] > times.pace.end - times.pace.start
    assert any(place.startswith("scoring.py") for place in times.pace.threads)
    found = [row.what for row in rows(Results(machine("cpu"), 1.0, {}, (), (), (), scenes=(times,), polygons=()))]
    assert any("detect of 600 x 600 with pico" in what for what in found)
