"""What takes minutes: training learns, and no kill costs more than what was not yet saved."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geofcs.model.weights import load_weights
from geofcs.training.config import read_config, recipe_file
from geofcs.training.sets import sets_of
from geofcs.training.train import train
from geofcs.training.validate import Validation
from tests.training.runs import Silence, job_alone, left_by, never, run
from tests.training.test_command import begun, resumed, wait_for

pytestmark = pytest.mark.long


def test_forty_made_up_pairs_lift_sek_far_above_no_training_and_above_no_change_everywhere(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    config = read_config(recipe_file("synthetic", "small"), ["train.device=cpu", "output.tensorboard=false"])
    assert config.worlds.pairs == 40
    untrained = Validation(sets_of(config).validation, job_alone(config)).quality().sek or 0.0
    nothing_ever_changes = 0.0  # kappa without the unchanged pixels is 0, and so is SeK
    began = time.monotonic()
    outcome = run(config, tmp_path / "run")
    assert outcome.best is not None
    record_property("sek", {"untrained": untrained, "trained": outcome.best, "seconds": time.monotonic() - began})
    assert outcome.best > max(untrained, nothing_ever_changes) + 0.3


RIVALS = {
    "changemamba": (
        "model.architecture=changemamba", "model.decoder_width=32", "loss.lovasz_change=0.75",
        "loss.lovasz_cover=0.375", "loss.similarity=0.25", "loss.sek=0",
    ),
    "scannet": (
        "model.architecture=scannet", "model.size=small", "model.depths=[1,1,1,1]",
        "train.optimiser=sgd", "train.lr=0.1", "train.warmup=5", "train.ema=null",
        "loss.ce_change=0", "loss.lovasz_change=0", "loss.lovasz_cover=0", "loss.similarity=0", "loss.sek=0",
        "loss.bce_change=1", "loss.consistency=1",
    ),
}  # fmt: skip
"""Settings that make the small recipe a rival's, with its own loss."""


@pytest.mark.parametrize("architecture", RIVALS)
def test_a_minute_on_made_up_pairs_lowers_a_rivals_loss_and_lifts_its_sek(architecture: str, tmp_path: Path) -> None:
    brief = ("train.device=cpu", "train.iterations=60", "validation.every=20", "output.tensorboard=false")
    config = read_config(recipe_file("synthetic", "small"), [*RIVALS[architecture], *brief])
    listener = Silence()
    outcome = train(config, tmp_path / "run", listener, never, resume=False)
    assert load_weights(tmp_path / "run" / "best.safetensors").info.architecture == architecture
    assert sum(listener.losses[-10:]) < 0.7 * sum(listener.losses[:10])
    seks = [quality.sek or 0.0 for quality in listener.qualities]
    assert outcome.best == max(seks) > seks[0]
    assert outcome.best > 0.15


KILLS = 20


def iterations_saved(folder: Path) -> int:
    """How far the state that a run would go on from has come; the run may be writing the next one."""
    return int(json.loads((folder / "state" / "last.json").read_text())["iteration"])


def test_twenty_kills_at_any_moment_change_neither_loss_curve_nor_weights(tmp_path: Path) -> None:
    settings = ("--set", "train.iterations=60", "--set", "output.save_every=1")
    process = begun(tmp_path / "whole", *settings)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    dice, folder = random.Random(4), tmp_path / "run"
    process = begun(folder, *settings)
    wait_for(folder / "state" / "last.json")
    for _ in range(KILLS):
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.communicate()
        saved = iterations_saved(folder)
        process = resumed(folder)
        until = time.monotonic() + 120
        while process.poll() is None and iterations_saved(folder) == saved and time.monotonic() < until:
            time.sleep(0.02)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert left_by(folder) == left_by(tmp_path / "whole")
