"""Several models evaluated on the same images: side by side, and how far they are apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofcs.classes import BINARY, ClassScheme
from geofcs.errors import InputError, UsageError
from geofcs.evaluation.counting import protocols_named
from geofcs.evaluation.folder import FolderRequest, Listener, measure_folder, opened, say_notes
from geofcs.evaluation.published import CAVEAT, PUBLISHED, Published
from geofcs.evaluation.report import Measured, Report
from geofcs.evaluation.scene import SceneRequest, measure_scene
from geofcs.model.weights import WeightsInfo, read_weights_info
from geofcs.training.quality import PER_DATE, Interval, Quality, interval_of

SCENES = "scenes"
"""The kind of a dataset whose pairs are tiles, cut as large as the model wants them."""


@dataclass(frozen=True)
class Comparison:
    """Models by the names they have in tables, all measured on the same images; the paper's rows, if they fit."""

    title: str
    models: Mapping[str, Measured]
    published: tuple[Published, ...]
    notes: tuple[str, ...]

    @property
    def reports(self) -> dict[str, Report]:
        """Each model's report."""
        return {name: each.report for name, each in self.models.items()}

    @property
    def scheme(self) -> ClassScheme:
        """The classes that all are compared in."""
        return next(iter(self.reports.values())).scheme

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that numbers are of, the first one first."""
        return tuple(quality.protocol for quality in next(iter(self.reports.values())).qualities)

    def qualities(self, protocol: str) -> dict[str, Quality]:
        """Each model's numbers by one protocol."""
        return {
            name: quality
            for name, report in self.reports.items()
            for quality in report.qualities
            if quality.protocol == protocol
        }


class Difference(NamedTuple):
    """How much higher a number is of `model` than of `than`, and where that lies in 95 of 100 sets of such images."""

    model: str
    than: str
    number: str
    value: float | None
    interval: Interval | None


def differences(qualities: Mapping[str, Quality]) -> Iterator[Difference]:
    """Every later model against every earlier one, in every number; by a paired bootstrap: the same images for both."""
    for than, model in combinations(qualities, 2):
        low, high = qualities[than], qualities[model]
        for number, value in high.numbers.items():
            other = low.numbers[number]
            apart = None if value is None or other is None else value - other
            yield Difference(model, than, number, apart, _interval(low, high, number))


def compare_folder(requests: Sequence[FolderRequest], listener: Listener, folder: Path, panels: int) -> Comparison:
    """Evaluate models one after the other; `requests` differ in their weights alone. Pictures go into `folder`/NAME.

    Raises `InputError` where the weights know different classes, and what `evaluate_folder` raises.
    """
    first, names = requests[0], model_names([request.weights for request in requests])
    infos = _alike([request.weights for request in requests], first.classes)
    tiles = [info.tile for info in infos]
    dataset = opened(first, tiles[0])
    if dataset.kind == SCENES and first.tile is None and len(set(tiles)) > 1:
        raise InputError(
            f"the models want tiles of {', '.join(map(str, tiles))} pixels, and scenes are cut alike for all: "
            "say how large with --tile"
        )
    say_notes(first, dataset, listener)
    models = {
        name: measure_folder(request, dataset, listener, name, folder / name / "panels", panels)
        for name, request in zip(names, requests, strict=True)
    }
    where = next(iter(models.values())).report.title.partition(" on ")[2]
    return _compared(f"{len(models)} models on {where}", models, published_for(first))


def compare_scene(requests: Sequence[SceneRequest], listener: Listener, folder: Path, panels: int) -> Comparison:
    """The same for a scene; each model's maps and pictures go into `folder`/NAME."""
    paths = [request.weights for request in requests]
    names = model_names(paths)
    _alike(paths, requests[0].classes)
    models = {}
    for name, request in zip(names, requests, strict=True):
        listener.note(name)
        place = folder / name
        place.mkdir()
        models[name] = measure_scene(request, listener, place / "maps", place / "panels", panels)
    where = f"{Path(requests[0].t1).name} and {Path(requests[0].t2).name}"
    return _compared(f"{len(models)} models on {where}", models, ())


def model_names(paths: Sequence[Path]) -> list[str]:
    """What weights are called in tables: their files' stems, after their folders' names where stems are the same.

    Raises `UsageError` where a file is named twice.
    """
    whole = [path.absolute().with_suffix("").parts for path in paths]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice or len(set(whole)) < len(whole):
        raise UsageError(f"--weights {(twice or paths)[0]}: is named twice: give each model once")
    for length in range(1, max(map(len, whole)) + 1):
        names = ["_".join(part.strip("/") for part in parts[-length:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    raise UsageError(f"{' and '.join(map(str, paths))}: would have the same name in tables: rename one")


def _alike(paths: Sequence[Path], classes: str | None) -> list[WeightsInfo]:
    """What the files say of themselves; raises `InputError` where they know different classes, in whatever order."""
    infos = [read_weights_info(path) for path in paths]
    known = [{cover.name for cover in info.classes.land_covers} for info in infos]
    if classes != BINARY.name:
        for path, info, covers in zip(paths, infos, known, strict=True):
            if covers != known[0]:
                raise InputError(
                    f"{paths[0]} knows {_told(infos[0].classes)}, {path} {_told(info.classes)}: compare models of the "
                    "same classes, or change alone with --classes binary"
                )
    return infos


def _told(scheme: ClassScheme) -> str:
    covers = ", ".join(cover.name for cover in scheme.land_covers)
    return f"the classes of {scheme.name} ({covers})" if covers else "change alone"


def _compared(title: str, models: Mapping[str, Measured], published: tuple[Published, ...]) -> Comparison:
    """The comparison, if all were measured against the same truth."""
    reports = [each.report for each in models.values()]
    truths = [(report.scheme.land_covers, [_truth(quality) for quality in report.qualities]) for report in reports]
    if any(truth != truths[0] for truth in truths):
        raise InputError(
            f"{title}: the truth was not the same for all: say its classes with --classes, and leave it alone meanwhile"
        )
    notes = dict.fromkeys(note for report in reports for note in report.notes)
    return Comparison(title, models, published, (*notes, *([CAVEAT] if published else [])))


def _truth(quality: Quality) -> tuple[int, list[int]]:
    """How many images, and true pixels of each class."""
    return quality.images, [int(count) for count in np.asarray(quality.matrix).sum(0)]


def _interval(low: Quality, high: Quality, number: str) -> Interval | None:
    if number not in low.draws or number not in high.draws:
        return None
    return interval_of(high.draws[number] - low.draws[number])


def published_for(request: FolderRequest) -> tuple[Published, ...]:
    """The paper's rows, for the test pairs of the datasets it names."""
    if request.split != "test" or request.classes == BINARY.name or PER_DATE not in protocols_named(request.protocol):
        return ()
    return PUBLISHED.get(request.dataset or "", ())
