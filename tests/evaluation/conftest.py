"""A tiny untrained model per class scheme, and a dataset to evaluate it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from geofcs.classes import SCHEMES, ClassScheme
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from tests.training.folders import second_as_distributed, several

OTHER_ORDER = ClassScheme(
    "other order",
    tuple(SCHEMES["second"].land_covers[index] for index in (3, 1, 0, 2, 4, 5)),
)
"""SECOND's classes as Open-CD and SCanNet number them."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The weights file of a scheme, by its name."""
    folder = tmp_path_factory.mktemp("weights")

    def made(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            scheme = OTHER_ORDER if name == OTHER_ORDER.name else SCHEMES[name]
            config = pico(scheme.count, width=16, depths=(1, 1, 1, 1))
            save_weights(path, build(config, 3), config, scheme, 64, "not at all")
        return path

    return made


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SECOND as distributed: five pairs to test on."""
    folder = tmp_path_factory.mktemp("second")
    second_as_distributed(folder / "test", several([f"{number:05}" for number in range(5)]))
    return folder
