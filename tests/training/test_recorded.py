"""Training on a GPU, where passes are recorded: the same losses and weights as without recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from geofcs.model.kernels import choice_for
from geofcs.model.vss import DropPath
from geofcs.training.job import Job, job_of, launched
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.step import iterate
from geofcs.training.train import batches_of
from tests.training import runs

pytestmark = pytest.mark.skipif(choice_for("cuda").kernels is None, reason=choice_for("cuda").reason)

APART = 1e-4
"""How far weights may be apart in the end, of which the farthest move tenfold."""


@pytest.fixture
def job() -> Iterator[Callable[..., Job]]:
    """Sets up jobs of one process."""
    with ExitStack() as jobs:

        def begun(*settings: str) -> Job:
            config = runs.tiny("train.device=cuda", "data.crop=64", "worlds.side=64", *runs.STILL, *settings)
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


def weights(job: Job) -> Tensor:
    """All of them, in a row."""
    return parameters_to_vector(job.model.parameters()).detach()


@pytest.mark.parametrize("architecture", ["mamba-fcs", "changemamba"])
def test_recorded_passes_train_as_unrecorded_ones_do(architecture: str, job: Callable[..., Job]) -> None:
    recorded, plain = (job(f"model.architecture={architecture}") for _ in range(2))
    assert recorded.passes is not recorded.wrapped
    plain = replace(plain, passes=plain.wrapped)
    before = weights(plain)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found, expected = losses(recorded, 5), losses(plain, 5)
    assert found == pytest.approx(expected, rel=2e-3)
    assert expected == sorted(expected, reverse=True) and expected[-1] < 0.97 * expected[0]
    assert (weights(plain) - before).abs().max() > 5 * APART
    torch.testing.assert_close(weights(recorded), weights(plain), rtol=0, atol=APART)


def test_where_gradients_of_parts_add_up_nothing_is_recorded(job: Callable[..., Job]) -> None:
    several = job("train.batch=4", "train.accumulate=2")
    assert several.passes is several.wrapped
