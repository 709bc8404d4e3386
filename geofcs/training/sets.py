"""Which pairs a config trains and validates on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from geofcs.classes import ClassScheme, scheme_named
from geofcs.errors import InputError, UsageError
from geofcs.training.config import RunConfig
from geofcs.training.data import Pairs
from geofcs.training.worlds import ENDLESS, Worlds, remembered


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


def _folder(config: RunConfig) -> Sets:
    """The pairs of a folder, in whichever layout it has."""
    # Imported late: folders of scenes need rasterio, which training on made-up worlds does without.
    from geofcs.training.data.dataset import open_dataset

    data = config.data
    if data.folder is None:
        raise UsageError(f"say where {data.dataset} lies: --data DIR (without, data/{data.dataset} is looked for)")
    classes = None if data.classes is None else scheme_named(data.classes)
    found = open_dataset(
        data.folder, classes, tile=data.crop, published=data.published_protocol, keep_copies=data.keep_copies
    )
    if not len(found.train) or not len(found.val):
        raise InputError(
            f"{data.folder}: has {len(found.train)} pairs to train on and {len(found.val)} to validate on: neither may "
            f"be 0; geofcs data check {data.folder} says what is there"
        )
    said = "; ".join((f"{found.kind} in {data.folder}", *found.notes))
    return Sets(found.train, found.val, found.scheme, said)


def _synthetic(config: RunConfig) -> Sets:
    """Worlds without end, or as many as the config says; those to validate on are others."""
    worlds, seed = config.worlds, config.train.seed
    size = worlds.side or config.data.crop
    if config.data.classes is None:
        raise UsageError("made-up pairs have the classes they are told: say --set data.classes=second, or landsat")
    classes = scheme_named(config.data.classes)
    train: Pairs = Worlds(worlds, classes, size, seed, "train", worlds.pairs)
    if worlds.pairs is not None:
        train = remembered(train)
    validation = remembered(Worlds(worlds, classes, size, seed, "validation", worlds.validation_pairs))
    count = "any number of" if worlds.pairs is None else str(worlds.pairs)
    return Sets(train, validation, classes, f"{count} made-up pairs of {classes.name}'s classes, seed {seed}")


DATASETS: dict[str, Callable[[RunConfig], Sets]] = {
    "landsat": _folder,
    "second": _folder,
    "levir": _folder,
    "folder": _folder,
    "synthetic": _synthetic,
}
