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
from geofcs.training.start import model_sizes
from tests.stubs import Silent

ROOT = Path(__file__).parent.parent

MOST_BYTES = 12_000_000

NEAR = 0.01
"""How far an F1 may be from its figure in the card on a machine that rounds otherwise."""

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
    assert 2 * np.count_nonzero(said & true) / (np.count_nonzero(said) + np.count_nonzero(true)) > 0.85


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


def said_in_the_card() -> dict[str, tuple[float, str]]:
    """F1 and what is said of the mark, for each set of pairs in the card's tables."""
    rows = re.findall(r"^\| (\D.*) \(\d+\) \| .*?% \| (0\.\d+) .* \| (.*) \|$", (ROOT / CARD).read_text(), re.MULTILINE)
    return {name: (float(f1), mark) for name, f1, mark in rows}


def check_card(rows: dict[str, dict[str, float]]) -> None:
    """Fail where a set of pairs is not as good as the card says, or better."""
    card = said_in_the_card()
    for name, row in rows.items():
        f1, mark = card[name]
        assert row["f1"] == pytest.approx(f1, abs=NEAR), name
        assert mark == ("above by the mark" if row["passes"] else "missed"), name


@pytest.mark.long
def test_change_on_held_out_made_up_worlds_is_above_the_baseline_as_their_card_says() -> None:
    rows = judged()
    assert len(rows) == 4
    assert all(row["passes"] for row in rows.values()), rows
    check_card(rows)


@pytest.mark.long
def test_change_on_real_pairs_is_above_the_baseline_as_their_card_says(realdata: Path) -> None:
    """Rennes misses the mark, which the card says."""
    rows = {name: row for name, row in judged("--real", realdata).items() if row["real"]}
    assert {name for name, row in rows.items() if row["passes"]} == {"OSCD Abu Dhabi", "LEVIR-CD crops", "SECOND pair"}
    check_card(rows)


def test_they_are_of_the_size_and_tile_that_their_config_trains() -> None:
    config, info = read_config(make_weights.CONFIG), read_weights_info(SHIPPED)
    assert (config.data.classes, config.data.crop) == (info.classes.name, info.tile)
    assert model_sizes(config.model, SECOND) == info.config


def test_packing_halves_the_file_and_keeps_the_weights(tmp_path: Path) -> None:
    config = pico(classes=SECOND.count, width=8, depths=(1, 1, 1, 1))
    best, packed = tmp_path / "best.safetensors", tmp_path / "pico.safetensors"
    save_weights(best, build(config, 0), config, SECOND, tile=64, trained="somehow")
    assert make_weights.pack(best, packed).trained == make_weights.TRAINED
    assert packed.stat().st_size < 0.6 * best.stat().st_size
    exact, rounded = (load_weights(path).model.state_dict() for path in (best, packed))
    for name, tensor in exact.items():
        torch.testing.assert_close(rounded[name], tensor, rtol=1e-3, atol=1e-6)


@pytest.mark.long
def test_the_demo_finds_most_of_what_truly_changed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = re.search(r"F1 (0\.\d+)", done.stdout)
    assert found is not None
    assert f"change F1 {found[1]}" in " ".join((ROOT / "README.md").read_text().split())
    assert float(found[1]) > 0.9
