"""Training on a GPU, where passes are recorded: the same losses and weights as without recordings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from geofcs.model.kernels import choice_for
from geofcs.training.job import Job, job_of, launched
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.step import iterate
from geofcs.training.train import batches_of
from tests.training import runs

pytestmark = pytest.mark.skipif(choice_for("cuda").kernels is None, reason=choice_for("cuda").reason)


def job(*settings: str) -> Job:
    config = runs.tiny("train.device=cuda", "train.precision=fp32", "data.crop=64", *settings)
    sets = sets_of(config)
    return job_of(launched(config.train), config, sets.classes, starting_model(config.model, sets.classes, 1).model)


def losses(job: Job, iterations: int) -> list[float]:
    pairs = batches_of(job, sets_of(job.config), 0)
    return [iterate(job, pairs, iteration, stop=False).terms[-1] for iteration in range(iterations)]


@pytest.mark.parametrize("architecture", ["mamba-fcs", "changemamba"])
def test_recorded_passes_train_as_unrecorded_ones_do(architecture: str) -> None:
    settings = f"model.architecture={architecture}", "model.drop_path=0.2"
    recorded, plain = job(*settings), job(*settings)
    assert recorded.passes is not recorded.wrapped
    plain = replace(plain, passes=plain.wrapped)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert losses(recorded, 5) == pytest.approx(losses(plain, 5), rel=2e-3)
    for one, other in zip(recorded.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=2e-3)


def test_where_gradients_of_parts_add_up_nothing_is_recorded() -> None:
    several = job("train.batch=4", "train.accumulate=2")
    assert several.passes is several.wrapped
