"""The weights inside the package: small, shipped, and worth what docs/weights.md says of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hatchling.builders.wheel import WheelBuilder
from safetensors import safe_open

from examples import make_weights
from geofcs.classes import SECOND
from geofcs.detect import detect
from geofcs.model.build import build
from geofcs.model.inference import PREPARED
from geofcs.model.shipped import CARD, SHIPPED
from geofcs.model.sizes import pico
from geofcs.model.weights import load_weights, read_weights_info, save_weights
from geofcs.plan import DetectRequest
from geofcs.synthetic import Nuisances, SceneParameters, scene_pixels
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.training.config import read_config
from tests.stubs import Silent

ROOT = Path(__file__).parent.parent

MOST_BYTES = 12_000_000

MARGIN = 0.05
"""Of the float32 path's first over its second class, from which on bfloat16 must agree."""


def test_they_are_small_rounded_and_say_what_they_learnt_from() -> None:
    info = read_weights_info(SHIPPED)
    assert SHIPPED.stat().st_size <= MOST_BYTES
    assert info.classes == SECOND
    assert "made-up scenes alone" in info.trained
    with safe_open(SHIPPED, framework="pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118, the file is no mapping
    assert kinds <= {"F16", "I64"}, "I64: how many batches a norm has seen"


def test_a_wheel_holds_them() -> None:
    files = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert "geofcs/weights/pico.safetensors" in files


def test_their_card_names_the_file_that_is_there() -> None:
    assert read_weights_info(SHIPPED).sha256 in (ROOT / CARD).read_text()


def test_changes_of_a_place_that_training_never_saw_are_found(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", SceneParameters(seed=7), Extent(512, 512))
    t1, t2, truth = (tmp_path / "scenes" / name for name in ("t1.tif", "t2.tif", "change.tif"))
    detect(DetectRequest(str(t1), str(t2), tmp_path / "out", SHIPPED, workers=1), Silent())
    with rasterio.open(tmp_path / "out" / "change.tif") as ours, rasterio.open(truth) as theirs:
        said, true = ours.read(1) > 0, theirs.read(1) > 0
    assert 0.02 < true.mean() < 0.5
    assert 2 * np.count_nonzero(said & true) / (np.count_nonzero(said) + np.count_nonzero(true)) > 0.7


@pytest.mark.parametrize("gsd", [0.5, 1.5])
def test_bfloat16_gives_the_classes_of_float32_wherever_these_are_sure(gsd: float) -> None:
    pixels = scene_pixels(SceneParameters(11, SECOND, gsd, 3.0, Nuisances()), 500, 500, 256, 256)
    images = [torch.from_numpy(image)[None].float() for image in (pixels.t1, pixels.t2)]
    model = load_weights(SHIPPED).model
    with torch.inference_mode():
        exact, rounded = (
            PREPARED[model.config.architecture](model, dtype)(*images) for dtype in (torch.float32, torch.bfloat16)
        )
    for reference, logits in zip(exact, rounded, strict=True):
        assert reference is not None
        assert logits is not None
        first, second = reference.softmax(1).topk(2, 1).values.unbind(1)
        sure = first - second > MARGIN
        assert sure.float().mean() > 0.5
        assert (logits.argmax(1) == reference.argmax(1))[sure].float().mean() >= 0.999


def judged(*arguments: object) -> dict[str, dict[str, float]]:
    """What examples/judge_weights.py says of each set of pairs."""
    command = [sys.executable, str(ROOT / "examples" / "judge_weights.py"), "--json", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {row["name"]: row for row in json.loads(done.stdout)}


@pytest.mark.long
def test_change_on_held_out_made_up_worlds_is_above_the_baseline_by_the_mark() -> None:
    rows = judged()
    assert len(rows) == 4
    assert all(row["passes"] for row in rows.values()), rows


@pytest.mark.long
def test_change_on_real_pairs_is_above_the_baseline_as_their_card_says(realdata: Path) -> None:
    """Rennes misses the mark, which the card says; so little may not become less."""
    rows = {name: row for name, row in judged("--real", realdata).items() if row["real"]}
    assert {name for name, row in rows.items() if row["passes"]} == {"OSCD Abu Dhabi", "LEVIR-CD crops", "SECOND pair"}
    assert rows["OSCD Rennes"]["f1"] > 0.35


@pytest.mark.parametrize("name", make_weights.RUNS)
def test_the_script_that_makes_them_says_settings_that_the_config_has(name: str) -> None:
    config = read_config(make_weights.CONFIG, make_weights.RUNS[name])
    assert config.data.classes == SECOND.name


def test_packing_halves_the_file_and_keeps_the_mean_of_both_runs(tmp_path: Path) -> None:
    config = pico(classes=SECOND.count, width=8, depths=(1, 1, 1, 1))
    first, second, packed = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "pico"))
    for seed, trained in enumerate((first, second)):
        save_weights(trained, build(config, seed), config, SECOND, tile=64, trained="somehow")
    assert make_weights.pack(first, second, packed).trained == make_weights.TRAINED
    assert packed.stat().st_size < 0.6 * second.stat().st_size
    one, other, mean = (load_weights(path).model.state_dict() for path in (first, second, packed))
    for name in (each for each, tensor in mean.items() if tensor.is_floating_point()):
        torch.testing.assert_close(mean[name], (one[name] + other[name]) / 2, rtol=1e-3, atol=1e-6)


@pytest.mark.long
def test_the_demo_finds_most_of_what_truly_changed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = re.search(r"F1 (0\.\d+)", done.stdout)
    assert found is not None
    assert f"change F1 {found[1]}" in " ".join((ROOT / "README.md").read_text().split())
    assert float(found[1]) > 0.8
