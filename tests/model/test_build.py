"""One dict of architectures: whatever is there can be built, prepared, stored and imported."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from geofcs.model.build import ARCHITECTURES, build, model_of
from geofcs.model.config import ChangeConfig
from geofcs.model.inference import PREPARED
from geofcs.model.interface import ChangeModel
from geofcs.model.names import NAMES
from geofcs.model.released import RELEASED


def test_every_architecture_is_known_wherever_architectures_are_told_apart() -> None:
    assert PREPARED.keys() == NAMES.keys() == RELEASED.keys() == ARCHITECTURES.keys()
    assert {config.architecture for config in get_args(ChangeConfig)} == ARCHITECTURES.keys()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_config_of_an_architecture_makes_its_model_with_the_parts_that_all_have(architecture: str) -> None:
    with torch.device("meta"):
        model = model_of(ARCHITECTURES[architecture].sized("pico" if architecture != "scannet" else "small", 5))
    assert isinstance(model, ChangeModel)
    assert model.config.architecture == architecture
    assert {"normalise", "encoder"} <= {name for name, _ in model.named_children()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_seed_gives_one_model_of_any_architecture(architecture: str) -> None:
    config = ARCHITECTURES[architecture].sized("pico" if architecture != "scannet" else "small", 5)
    first, again, other = (build(config, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
