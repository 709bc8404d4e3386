"""Training on a GPU, where passes are recorded: the same losses and weights as without recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from geofcs.model.kernels import choice_for
from geofcs.model.vss import DropPath
from geofcs.training.job import Job, job_of, launched
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.step import iterate
from geofcs.training.train import batches_of
from tests.training import runs

pytestmark = pytest.mark.skipif(choice_for("cuda").kernels is None, reason=choice_for("cuda").reason)


@pytest.fixture
def job() -> Iterator[Callable[..., Job]]:
    """Sets up jobs of one process."""
    with ExitStack() as jobs:

        def begun(*settings: str) -> Job:
            config = runs.tiny("train.device=cuda", "train.precision=fp32", "data.crop=64", "worlds.side=64", *settings)
            fabric, sets = jobs.enter_context(launched(config, runs.Silence().lost)), sets_of(config)
            model = starting_model(config.model, sets.classes, config.train.seed).model
            for each in model.modules():
                if isinstance(each, DropPath):  # a recording draws other numbers
                    each.rate = 0.0
            return job_of(fabric, config, sets.classes, model)

        yield begun


def losses(job: Job, iterations: int) -> list[float]:
    pairs = batches_of(job, sets_of(job.config), 0)
    return [iterate(job, pairs, iteration, stop=False).terms[-1] for iteration in range(iterations)]


@pytest.mark.parametrize("architecture", ["mamba-fcs", "changemamba"])
def test_recorded_passes_train_as_unrecorded_ones_do(architecture: str, job: Callable[..., Job]) -> None:
    # Gradients that are nothing but rounding, of biases before a batch norm, move nothing under SGD.
    recorded, plain = (job(f"model.architecture={architecture}", "train.optimiser=sgd") for _ in range(2))
    assert recorded.passes is not recorded.wrapped
    plain = replace(plain, passes=plain.wrapped)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        assert losses(recorded, 5) == pytest.approx(losses(plain, 5), rel=2e-3)
    for one, other in zip(recorded.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)


def test_where_gradients_of_parts_add_up_nothing_is_recorded(job: Callable[..., Job]) -> None:
    several = job("train.batch=4", "train.accumulate=2")
    assert several.passes is several.wrapped
