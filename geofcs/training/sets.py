"""Which pairs a config trains and validates on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from geofcs.classes import ClassScheme, scheme_named
from geofcs.errors import UsageError
from geofcs.training.config import RunConfig
from geofcs.training.data import Pairs
from geofcs.training.worlds import ENDLESS, Worlds


class Sets(NamedTuple):
    """Pairs to train on and pairs held out to validate on, their classes, and a few words on where they come from."""

    train: Pairs
    validation: Pairs
    classes: ClassScheme
    said: str

    @property
    def train_count(self) -> int | None:
        """How many pairs there are to train on; None if they are made up without end."""
        count = len(self.train)
        return None if count >= ENDLESS else count


def sets_of(config: RunConfig) -> Sets:
    """The pairs that `data.dataset` names. Raises `UsageError` for an unknown name, `InputError` for what is wrong."""
    name = config.data.dataset
    if name not in DATASETS:
        raise UsageError(f"data.dataset: no dataset is called {name!r}; known: {', '.join(DATASETS)}")
    return DATASETS[name](config)


def _synthetic(config: RunConfig) -> Sets:
    """Worlds without end, or as many as the config says; those to validate on are others."""
    worlds, size, seed = config.worlds, config.data.crop, config.train.seed
    classes = scheme_named(config.data.classes)
    train = Worlds(worlds, classes, size, seed, "train", worlds.pairs)
    validation = Worlds(worlds, classes, size, seed, "validation", worlds.validation_pairs)
    count = "any number of" if worlds.pairs is None else str(worlds.pairs)
    return Sets(train, validation, classes, f"{count} made-up pairs of {classes.name}'s classes, seed {seed}")


DATASETS: dict[str, Callable[[RunConfig], Sets]] = {
    "synthetic": _synthetic,
}
