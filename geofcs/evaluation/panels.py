"""Annotated pictures of single pairs: both dates, truth, prediction and errors, in the published palette."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geofcs.classes import BINARY, IGNORE, NO_CHANGE, ClassScheme, Colour
from geofcs.evaluation.figures import DPI, save
from geofcs.evaluation.report import percent
from geofcs.model.maps import Maps
from geofcs.training.data import Sample
from geofcs.training.losses import CHANGED, Labels
from geofcs.training.metrics import ChangeMetrics
from geofcs.training.quality import Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

WHITE: Colour = (255, 255, 255)
IGNORED_COLOUR: Colour = (200, 200, 200)

RIGHT, WRONG_CLASS, MISSED, FALSE, UNCHANGED, IGNORED = range(6)
ERRORS: tuple[tuple[str, Colour], ...] = (
    ("change found, classes right", (0, 158, 115)),
    ("change found, a class wrong", (240, 228, 66)),
    ("change missed", (0, 114, 178)),
    ("no change called change", (213, 94, 0)),
    ("no change, rightly", WHITE),
    ("ignored", IGNORED_COLOUR),
)
"""What the picture of errors tells apart, in colours that most eyes can."""

Ids = npt.NDArray[Any]
Row = list[tuple[str, Ids]]


class PanelWriter:
    """Pictures of `count` of `total` pairs, evenly spread over them, written into a folder as pairs come by."""

    def __init__(self, folder: Path, count: int, total: int, scheme: ClassScheme) -> None:
        self._folder = folder
        self._wanted = {index * total // count for index in range(min(count, total))} if count else set()
        self._scheme = scheme
        self._seen = 0
        self.paths: list[Path] = []

    def add(self, sample: Sample, maps: Maps) -> None:
        """Draw a pair and its maps (h, w), if it is one of those chosen."""
        if self._seen in self._wanted:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{sample.name}.png"
            save(panel_figure(sample, maps, self._scheme), path)
            self.paths.append(path)
        self._seen += 1


def panel_figure(sample: Sample, maps: Maps, scheme: ClassScheme) -> Figure:
    """T1, T2, truth and prediction of either date, errors, and this pair's own numbers; maps are (h, w)."""
    rows = _binary_rows(sample, maps) if scheme.is_binary else _rows(sample, maps, scheme)
    kinds = errors_of(sample, maps, scheme)
    rows[0].append(("errors", np.array([colour for _, colour in ERRORS], np.uint8)[kinds]))
    columns, (height, width) = len(rows[0]), kinds.shape
    figure = Figure((3.2 * columns, 3.2 * 2 * height / width + 0.9), dpi=DPI, layout="constrained")
    plots = figure.subplots(2, columns)
    for axes, (title, picture) in zip(plots[0], rows[0], strict=True):
        _show(axes, title, picture)
    for axes, (title, picture) in zip(plots[1, :-1], rows[1], strict=True):
        _show(axes, title, picture)
    plots[1, -1].axis("off")
    plots[1, -1].legend(handles=_legend(sample, maps, kinds, scheme), loc="upper left", fontsize=8, frameon=False)
    figure.suptitle(f"{sample.name}    {_numbers(_quality(sample, maps, scheme))}", fontsize=10)
    return figure


def errors_of(sample: Sample, maps: Maps, scheme: ClassScheme) -> Ids:
    """(h, w) indices into `ERRORS`."""
    said, truth = _array(maps.change) == CHANGED, sample.change == CHANGED
    errors = np.full(truth.shape, UNCHANGED)
    errors[said & truth] = RIGHT
    if not scheme.is_binary and maps.t1 is not None and maps.t2 is not None:
        wrong = (_array(maps.t1) != sample.label1) | (_array(maps.t2) != sample.label2)
        errors[said & truth & wrong] = WRONG_CLASS
    errors[~said & truth] = MISSED
    errors[said & ~truth] = FALSE
    errors[sample.change == IGNORE] = IGNORED
    return errors


def painted(ids: Ids, scheme: ClassScheme) -> Ids:
    """(h, w, 3) class ids in the palette's colours; no change is white, ignored grey."""
    table = np.full((256, 3), IGNORED_COLOUR, np.uint8)
    table[: scheme.count] = [WHITE, *(cover.colour for cover in scheme.land_covers)]
    if scheme.is_binary:
        table[1] = scheme.transitions[0].colour
    return table[ids]


def _rows(sample: Sample, maps: Maps, scheme: ClassScheme) -> list[Row]:
    assert maps.t1 is not None and maps.t2 is not None  # the scheme is not binary
    return [
        [
            (f"T{date}", image.transpose(1, 2, 0)),
            (f"truth at T{date}", painted(_where_changed(label, sample.change), scheme)),
            (f"prediction at T{date}", painted(_array(said), scheme)),
        ]
        for date, image, label, said in (
            (1, sample.t1, sample.label1, maps.t1),
            (2, sample.t2, sample.label2, maps.t2),
        )
    ]


def _binary_rows(sample: Sample, maps: Maps) -> list[Row]:
    return [
        [("T1", sample.t1.transpose(1, 2, 0)), ("truth", painted(sample.change, BINARY))],
        [("T2", sample.t2.transpose(1, 2, 0)), ("prediction", painted(_array(maps.change), BINARY))],
    ]


def _show(axes: Axes, title: str, picture: Ids) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _where_changed(ids: Ids, change: Ids) -> Ids:
    """Ids of changed pixels; ignored ones stay so, all others are no change."""
    return np.where(change == CHANGED, ids, np.where(change == IGNORE, IGNORE, NO_CHANGE))


def _quality(sample: Sample, maps: Maps, scheme: ClassScheme) -> Quality:
    metrics = ChangeMetrics(scheme.count)
    change, label1, label2 = (torch.from_numpy(each)[None] for each in sample[2:5])
    labels = Labels(change, None, None) if scheme.is_binary else Labels(change, label1, label2)
    metrics.update(Maps(maps.change.cpu()[None], _alone(maps.t1), _alone(maps.t2)), labels)
    return metrics.quality()


def _alone(ids: Tensor | None) -> Tensor | None:
    return None if ids is None else ids.cpu()[None]


def _numbers(quality: Quality) -> str:
    """The pair's own, in percent."""
    names = {"oa": "OA", "f_scd": "F_SCD", "sek": "SeK", "f1": "F1 of change", "iou_changed": "IoU of change"}
    said = [f"{name} {percent(quality.numbers[each], 1)}" for each, name in names.items() if each in quality.numbers]
    return f"{', '.join(said)} (%, {quality.protocol})"


def _legend(sample: Sample, maps: Maps, kinds: Ids, scheme: ClassScheme) -> list[Patch]:
    """The land covers that occur, then the kinds of error that do."""
    changed = sample.change == CHANGED
    shown = [sample.label1[changed], sample.label2[changed]]
    shown += [_array(each).ravel() for each in (maps.t1, maps.t2) if each is not None]
    seen = set(np.unique(np.concatenate(shown)).tolist())
    covers = [(cover.name, cover.colour) for number, cover in enumerate(scheme.land_covers, 1) if number in seen]
    errors = [ERRORS[kind] for kind in np.unique(kinds).tolist()]
    if scheme.is_binary:
        errors = [(name.removesuffix(", classes right"), colour) for name, colour in errors]
    return [Patch(facecolor=_unit(colour), edgecolor="0.4", label=name) for name, colour in (*covers, *errors)]


def _unit(colour: Colour) -> tuple[float, float, float]:
    r, g, b = (value / 255 for value in colour)
    return r, g, b


def _array(ids: Tensor) -> Ids:
    array: Ids = ids.cpu().numpy()
    return array
