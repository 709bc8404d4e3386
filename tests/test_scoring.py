"""A model in a process: loaded once, and again where what was loaded turned out to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geofcs import scoring
from geofcs.classes import SECOND
from geofcs.errors import InputError
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.scoring import ModelSource


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    monkeypatch.setattr(scoring, "_loaded", {})
    config = pico(SECOND.count, width=8, depths=(1, 1, 1, 1))
    path = tmp_path / "w.safetensors"
    info = save_weights(path, build(config, seed=0), config, SECOND, tile=64, trained="not trained")
    return ModelSource(path, info.sha256, "cpu", "fp32")


def test_no_score_of_damaged_weights_is_given_out_and_a_mended_file_is_loaded(source: ModelSource) -> None:
    sound = source.weights.read_bytes()
    source.weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    images = torch.zeros(1, 3, 64, 64)
    for _ in range(2):
        with pytest.raises(InputError, match="is damaged"):
            source.load()(images, images)
    with pytest.raises(InputError, match="is damaged"):
        source.load().check()
    source.weights.write_bytes(sound)
    scorer = source.load()
    assert scorer(images, images).change.shape == (1, 64, 64)
    assert source.load() is scorer
