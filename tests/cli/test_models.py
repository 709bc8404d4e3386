"""Every model from the command line: the commands do not know which one they run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
from typer.testing import CliRunner

from geofcs.classes import SECOND
from geofcs.cli.app import app
from geofcs.model.build import ARCHITECTURES, build
from geofcs.model.config import ChangeConfig, ChangeMambaConfig, EncoderConfig, MambaFCSConfig, SCanNetConfig
from geofcs.model.weights import save_weights
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes

ENCODER = EncoderConfig(8, (1, 1, 1, 1))
SMALLEST: dict[str, ChangeConfig] = {
    "mamba-fcs": MambaFCSConfig(ENCODER, SECOND.count),
    "changemamba": ChangeMambaConfig(ENCODER, SECOND.count, decoder_width=16),
}


def smallest(architecture: str) -> ChangeConfig:
    """A config of seconds."""
    config = SMALLEST.get(architecture) or ARCHITECTURES[architecture].sized("small", SECOND.count)
    if isinstance(config, SCanNetConfig):
        return replace(config, encoder=replace(config.encoder, width=8, depths=(1, 1, 1, 1)))
    return config


def invoked(*arguments: object) -> str:
    """What the command printed; it must have worked."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_scene_runs_through_detection_polygons_and_evaluation_with_any_model(
    architecture: str, tmp_path: Path
) -> None:
    write_scenes(tmp_path, SceneParameters(seed=3), Extent(90, 120))
    t1, t2, weights, out = (tmp_path / name for name in ("t1.tif", "t2.tif", "model.safetensors", "out"))
    config = smallest(architecture)
    save_weights(weights, build(config, 0), config, SECOND, 64, "not trained")
    assert f"architecture      {architecture}" in invoked("weights", "show", weights)
    invoked(
        "detect", t1, t2, "--weights", weights, "-o", out, "--tile", 64, "--overlap", 16, "--landcover",
        "--workers", 1, "--device", "cpu", "-q",
    )  # fmt: skip
    with rasterio.open(out / "change.tif") as change, rasterio.open(t1) as scene:
        assert (change.shape, change.transform, change.crs) == (scene.shape, scene.transform, scene.crs)
    assert (out / "changes.gpkg").exists()
    assert json.loads((out / "run.json").read_text())["plan"]["weights"]["architecture"] == architecture
    invoked("polygonize", out / "change.tif", "-o", tmp_path / "again.gpkg")
    invoked(
        "eval", "--weights", weights, "--scene", t1, t2, "--truth", tmp_path / "change.tif", "--tile", 64,
        "--overlap", 16, "--device", "cpu", "-o", tmp_path / "eval", "-q",
    )  # fmt: skip
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text())["about"]["weights"] == "model.safetensors"
