"""A scene is evaluated by what `geofcs detect` writes about it, against rasters and polygons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from geofcs.cli.app import app
from geofcs.evaluation import scene as subject
from geofcs.evaluation.scene import SceneRequest, evaluate_scene
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from tests.stubs import Silent

Weights = Callable[[str], Path]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    write_scenes(folder, SceneParameters(seed=3, gsd=2.0), Extent(96, 128))
    return folder


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WINDOW", 48)


def request_of(scene: Path, weights: Path, truth: Path) -> SceneRequest:
    return SceneRequest(str(scene / "t1.tif"), str(scene / "t2.tif"), truth, weights, protocol="both", threshold=0.3)


@pytest.mark.usefixtures("small_windows")
def test_the_maps_are_counted_against_the_truth_pixel_by_pixel(scene: Path, weights: Weights, tmp_path: Path) -> None:
    request = request_of(scene, weights("second"), scene / "change.tif")
    report = evaluate_scene(request, Silent(), tmp_path / "maps", tmp_path / "panels", panels=2)
    with rasterio.open(tmp_path / "maps" / "change.tif") as said, rasterio.open(scene / "change.tif") as truth:
        expected = np.zeros((37, 37), int)
        np.add.at(expected, (said.read(1).ravel().astype(int), truth.read(1).ravel().astype(int)), 1)
    from_to = report.qualities[1]
    assert np.array_equal(from_to.matrix, expected)
    assert from_to.images == 6 and report.qualities[0].pixels == 2 * 96 * 128
    assert len(list((tmp_path / "panels").iterdir())) == 2


@pytest.mark.usefixtures("small_windows")
def test_invalid_pixels_count_nowhere(scene: Path, weights: Weights, tmp_path: Path) -> None:
    with rasterio.open(scene / "t2.tif") as file:
        pixels, profile = file.read().clip(1), file.profile
    pixels[:, 20:60, 30:90] = 0
    with rasterio.open(tmp_path / "t2.tif", "w", **{**profile, "nodata": 0}) as file:
        file.write(pixels)
    request = replace(request_of(scene, weights("second"), scene / "change.tif"), t2=str(tmp_path / "t2.tif"))
    report = evaluate_scene(request, Silent(), tmp_path / "maps", tmp_path / "panels", panels=0)
    assert [quality.pixels for quality in report.qualities] == [2 * (96 * 128 - 40 * 60), 96 * 128 - 40 * 60]


@pytest.mark.usefixtures("small_windows")
def test_what_was_detected_is_right_about_itself(scene: Path, weights: Weights, tmp_path: Path) -> None:
    first = request_of(scene, weights("second"), scene / "change.tif")
    evaluate_scene(first, Silent(), tmp_path / "maps", tmp_path / "panels", panels=0)
    for name in ("change.tif", "changes.gpkg"):
        request = request_of(scene, weights("second"), tmp_path / "maps" / name)
        report = evaluate_scene(request, Silent(), tmp_path / name, tmp_path / "panels", panels=0)
        for quality in report.qualities:
            assert np.array_equal(quality.matrix, np.diag(np.diag(quality.matrix))), name
            assert quality.oa == 1


def test_the_command_compares_change_alone_with_a_raster_of_marks(
    scene: Path, weights: Weights, tmp_path: Path
) -> None:
    with rasterio.open(scene / "change.tif") as file:
        profile, changed = file.profile, file.read(1) > 0
    with rasterio.open(tmp_path / "marks.tif", "w", **{**profile, "nodata": None}) as file:
        file.write(np.where(changed, 2, 1).astype(np.uint8), 1)
    command = [
        "eval", "--weights", str(weights("second")), "--scene", str(scene / "t1.tif"), str(scene / "t2.tif"),
        "--truth", str(tmp_path / "marks.tif"), "--changed-value", "2", "-o", str(tmp_path / "out"), "-q",
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.exception
    assert "binary" in result.output and "SeK" not in result.output
    assert {"maps", "metrics.md", "confusion_binary.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_raster_that_names_no_classes_is_taken_for_codes_and_that_is_said(
    scene: Path, weights: Weights, tmp_path: Path
) -> None:
    with rasterio.open(scene / "change.tif") as file:
        profile, codes = file.profile, file.read(1)
    with rasterio.open(tmp_path / "codes.tif", "w", **profile) as file:
        file.write(codes, 1)
    for truth, doubts in ((scene / "change.tif", 0), (tmp_path / "codes.tif", 1)):
        listener = Silent()
        request = request_of(scene, weights("second"), truth)
        evaluate_scene(request, listener, tmp_path / truth.stem, tmp_path / "panels", panels=0)
        assert sum("names no classes" in note and "--changed-value" in note for note in listener.notes) == doubts


def test_a_scene_without_truth_is_a_usage_error(scene: Path, weights: Weights) -> None:
    command = ["eval", "--weights", str(weights("second")), "--scene", str(scene / "t1.tif"), str(scene / "t2.tif")]
    result = CliRunner().invoke(app, command)
    assert getattr(result.exception, "exit_code", None) == 2 and "--truth" in str(result.exception)
