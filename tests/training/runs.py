"""Runs small enough for tests, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NoReturn

from geofcs.training.config import RunConfig, read_config, recipe_file
from geofcs.training.job import Job, job_of, launched
from geofcs.training.quality import Quality
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.train import Outcome, train

TINY = (
    "data.classes=second", "data.crop=32", "data.workers=0", "model.width=8", "model.depths=[1,1,1,1]",
    "model.drop_path=0.2",
    "train.iterations=8", "train.batch=2", "train.warmup=2", "train.ema=0.9", "train.device=cpu",
    "loss.sek_from=3", "worlds.pairs=6", "worlds.gsd=[2,2]", "worlds.coarse=0", "worlds.change=[5,9]",
    "worlds.validation_pairs=4", "augment.sensors=0.5",
    "validation.every=3", "validation.batch=2", "output.save_every=2", "output.log_every=2",
    "output.tensorboard=false",
)  # fmt: skip
"""Settings of a run of seconds, in which everything that a run has happens."""

LIGHT = (
    "model.architecture=scannet", "model.size=small",
    "loss.ce_change=0", "loss.lovasz_change=0", "loss.bce_change=1", "loss.sek=0",
)  # fmt: skip
"""The same run of a model with a third of the tensors, where it does not matter which model learns."""

STILL = (
    "worlds.pairs=2", "augment.flip=0", "augment.rotate=false", "augment.swap=0", "augment.brightness=0",
    "augment.contrast=0", "augment.saturation=0", "augment.sensors=0", "loss.sek_from=0",
    "train.optimiser=sgd", "train.lr=5e-4", "train.precision=fp32",
)  # fmt: skip
"""The same loss of the same two pairs in every iteration, which falls slowly: of two such runs that round differently
by 1e-4, losses stay within 1e-3 and weights within a tenth of what they move, if no stochastic depth makes any other
difference. Gradients that are nothing but rounding, of biases before a batch norm, move nothing under SGD."""


class Silence:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.losses: list[float] = []
        self.qualities: list[Quality] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def begin(self, done: int, total: int) -> None: ...

    def step(self, iteration: int, loss: float, rate: float) -> None:  # noqa: ARG002
        self.losses.append(loss)

    def judged(self, iteration: int, quality: Quality, is_best: bool) -> None:  # noqa: ARG002
        self.qualities.append(quality)

    def lost(self, sentence: str | None, exit_code: int) -> NoReturn:
        raise AssertionError(f"{sentence}, {exit_code}")


def tiny(*settings: str) -> RunConfig:
    """The config of a tiny run."""
    return read_config(recipe_file("synthetic", "small"), [*TINY, *settings])


def job_alone(config: RunConfig) -> Job:
    """The job of a config in this process, with the model that it starts from."""
    sets = sets_of(config)
    start = starting_model(config.model, sets.classes, config.train.seed)
    with launched(config, Silence().lost) as fabric:
        return job_of(fabric, config, sets.classes, start.model)


def never() -> bool:
    """No wish to stop."""
    return False


def after(iterations: int) -> Callable[[], bool]:
    """A wish to stop after so many more iterations."""
    asked = count(1)
    return lambda: next(asked) >= iterations


def run(config: RunConfig, folder: Path, *, stop: Callable[[], bool] = never, resume: bool = False) -> Outcome:
    """Train and say nothing."""
    return train(config, folder, Silence(), stop, resume=resume)


def left_by(folder: Path) -> dict[str, bytes]:
    """Everything that a finished run says: its tables, its weights, its last state."""
    names = ["losses.csv", "metrics.csv", "best.safetensors", "last.safetensors", "state/last.json"]
    files = [*(folder / name for name in names), max((folder / "state").glob("*.safetensors"))]
    return {file.name: file.read_bytes() for file in files}
