"""The published numbers in tests/data/conformance, and our modules filled as they were when those were computed."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from geofcs.model.names import published_name
from tests.model import fill

DATA = Path(__file__).parent.parent / "data" / "conformance"


def case(name: str) -> dict[str, Any]:
    """The arrays of one case."""
    with np.load(DATA / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def manifest(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published checkpoint's tensors."""
    content = json.loads((DATA / f"{name}.keys.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape, _ in content}


def published_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """The conformance value of a published tensor."""
    return torch.from_numpy(np.asarray(fill.weight(name, shape)))


def published_weights(checkpoint: str) -> dict[str, Tensor]:
    """The tensors of a published checkpoint with conformance values, drawn on all cores: up to 200 million numbers."""
    shapes = manifest(checkpoint)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(shapes, pool.map(published_weight, shapes, shapes.values()), strict=True))


def fill_block(
    block: nn.Module, name: str, keys: str, ours: str = "", published: str = "", architecture: str = "mamba-fcs"
) -> None:
    """Give a block the weights of a case, `keys` being its published tensors.

    `ours` and `published` are what a whole model puts before the names that begin at this block.
    """
    shapes = {key: tuple(shape) for key, shape in json.loads(keys).items() if "cross_attn" not in key}
    names = {key: published_name(ours + key, architecture).removeprefix(published) for key in block.state_dict()}
    assert set(names.values()) == shapes.keys()
    block.load_state_dict(
        {
            key: published_weight(f"{name}.{names[key]}", shapes[names[key]]).reshape(value.shape)
            for key, value in block.state_dict().items()
        }
    )


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """An input of a case."""
    return torch.from_numpy(fill.draw(name, shape))


def assert_close(found: Tensor, expected: Any, tolerance: float) -> None:
    """Equal within rtol = atol = tolerance."""
    torch.testing.assert_close(
        found.detach(), torch.from_numpy(expected).to(found.dtype), rtol=tolerance, atol=tolerance
    )
