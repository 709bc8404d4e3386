"""A model evaluated on the labelled pairs of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from geofcs.classes import BINARY, ClassScheme, scheme_named
from geofcs.errors import InputError
from geofcs.evaluation.batches import Batch, batches
from geofcs.evaluation.classes import common_scheme
from geofcs.evaluation.counting import add, metrics_for, protocols_named, report_of
from geofcs.evaluation.pace import Pace
from geofcs.evaluation.panels import PanelWriter
from geofcs.evaluation.predict import Predictor
from geofcs.evaluation.report import Measured, Report
from geofcs.model.maps import Maps
from geofcs.model.shipped import said_of_shipped
from geofcs.model.weights import read_weights_info
from geofcs.training.data import Dataset, Pairs
from geofcs.training.data.dataset import dataset_folder, open_dataset
from geofcs.training.quality import PER_DATE

DATASET_CLASSES = {"second": "second", "landsat": "landsat", "levir": "binary"}
"""The classes of the datasets that have a name."""


class Listener(Protocol):
    """Who is told how an evaluation gets on."""

    def note(self, sentence: str) -> None: ...

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None: ...

    def advance(self, units: int) -> None: ...


@dataclass(frozen=True)
class FolderRequest:
    """What is evaluated: `dataset` names the classes and, without `data`, the folder data/NAME.

    `split` is "test", "val" or "train"; `classes` "binary" compares change alone. `published` counts as the authors
    did: augmented copies too, and what is outside the scene as unchanged.
    """

    weights: Path
    dataset: str | None = None
    data: Path | None = None
    classes: str | None = None
    split: str = "test"
    protocol: str = PER_DATE
    batch: int = 1
    tile: int | None = None
    device: str = "auto"
    precision: str = "auto"
    tta: str = "none"
    published: bool = False


def evaluate_folder(
    request: FolderRequest, listener: Listener, pictures: Path | None = None, panels: int = 0
) -> Report:
    """The numbers of a model on one split of a dataset; pictures of some pairs go into the folder `pictures`.

    Raises `InputError` for weights, folders, labels and classes that cannot be used, `ComputeError` where the model
    fails.
    """
    info = read_weights_info(request.weights)
    for sentence in said_of_shipped(request.weights, info):
        listener.note(sentence)
    dataset = opened(request, info.tile)
    say_notes(request, dataset, listener)
    return measure_folder(request, dataset, listener, "pairs", pictures, panels).report


def measure_folder(
    request: FolderRequest,
    dataset: Dataset,
    listener: Listener,
    stage: str,
    pictures: Path | None = None,
    panels: int = 0,
) -> Measured:
    """The same on an open dataset, with the model's speed; `stage` is what the listener is told of."""
    protocols = protocols_named(request.protocol)
    predictor = Predictor(request.weights, request.device, request.precision, request.tta)
    pairs = _split(dataset, request)
    scheme = common_scheme(predictor.info.classes, _labels_scheme(request, dataset))
    metrics = metrics_for(scheme, protocols, len(pairs), predictor.device)
    painter = None if pictures is None else PanelWriter(pictures, panels, len(pairs), scheme)
    pace = Pace()
    listener.stage(stage, len(pairs), "pairs", 0)
    for batch in batches(pairs, request.batch):
        with pace.of(len(batch.samples)):
            maps = predictor.maps(batch.stacked(0), batch.stacked(1), scheme)
        add(metrics, maps, batch.labels(scheme))
        if painter is not None:
            _draw(painter, batch, maps)
        listener.advance(len(batch.samples))
    title, about = _title(dataset, request, pairs), _about(request, predictor, dataset)
    report = report_of(metrics, protocols, scheme, title, about)
    return Measured(report, predictor.parameters, pace.pairs_per_second, "pairs/s")


def opened(request: FolderRequest, tile: int) -> Dataset:
    """The dataset that a request names; scenes are cut into tiles of `tile` unless it says otherwise."""
    name = request.classes or DATASET_CLASSES.get(request.dataset or "")
    scheme = None if name is None or name == request.classes == BINARY.name else scheme_named(name)
    folder = dataset_folder(request.dataset, request.data)
    return open_dataset(folder, scheme, tile=request.tile or tile, published=request.published)


def say_notes(request: FolderRequest, dataset: Dataset, listener: Listener) -> None:
    """How train and validation were divided, where it matters."""
    if request.split != "test":
        for sentence in dataset.notes:
            listener.note(sentence)


def _labels_scheme(request: FolderRequest, dataset: Dataset) -> ClassScheme:
    return BINARY if request.classes == BINARY.name else dataset.scheme


def _split(dataset: Dataset, request: FolderRequest) -> Pairs:
    sets = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    if request.split not in sets:
        raise InputError(f"--split {request.split}: is not known; choose one of {', '.join(sets)}")
    if not len(sets[request.split]):
        there = ", ".join(f"{name} ({len(pairs)})" for name, pairs in sets.items() if len(pairs))
        raise InputError(f"{dataset.folder}: has no {request.split} pairs; there are {there}: choose with --split")
    return sets[request.split]


def _draw(painter: PanelWriter, batch: Batch, maps: Maps) -> None:
    for number, sample in enumerate(batch.samples):
        painter.add(sample, maps.at(number))


def _title(dataset: Dataset, request: FolderRequest, pairs: Pairs) -> str:
    count = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    return f"{request.weights.name} on {request.dataset or dataset.folder.name}, {request.split}: {count}"


def _about(request: FolderRequest, predictor: Predictor, dataset: Dataset) -> dict[str, Any]:
    return {
        "weights": request.weights.name,
        "weights_sha256": predictor.info.sha256,
        "trained": predictor.info.trained,
        "dataset": str(dataset.folder),
        "layout": dataset.kind,
        "split": request.split,
        "pairs_counted": "as published: with copies, outside as unchanged" if request.published else "originals",
        "maps": "published: the highest of all classes where changed",
        "tta": predictor.tta,
        "precision": predictor.precision,
    }
