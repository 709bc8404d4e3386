"""A model evaluated on a whole scene whose truth is known: what `detect` makes of it, compared window by window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geofcs.classes import BINARY, IGNORE, ClassScheme, scheme_named
from geofcs.detect import detect
from geofcs.evaluation.batches import Batch
from geofcs.evaluation.classes import common_scheme, in_ids_of
from geofcs.evaluation.counting import add, metrics_for, protocols_named, report_of
from geofcs.evaluation.panels import PanelWriter
from geofcs.evaluation.report import Measured, Report
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid
from geofcs.listener import Listener
from geofcs.model.build import parameter_count
from geofcs.model.maps import Maps
from geofcs.model.weights import WeightsInfo, read_weights_info
from geofcs.overviews import INTERNAL_TILE
from geofcs.plan import DetectRequest
from geofcs.remote import parse_address
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.training.data import Sample
from geofcs.training.data.truth import RasterTruth, Truth, labels_in, plan_truth
from geofcs.training.quality import PER_DATE

WINDOW = INTERNAL_TILE
"""Pixels a side of the windows that are compared at once; they are the "images" that intervals draw from."""


@dataclass(frozen=True)
class SceneRequest:
    """What is evaluated. `changed_value` is the one that means "changed" in a truth that only tells that.

    `classes` "binary" compares change alone, else it names the classes of a truth that does not name them itself.
    """

    t1: str
    t2: str
    truth: Path
    weights: Path
    scene: SceneOptions = field(default_factory=SceneOptions)
    classes: str | None = None
    changed_value: int | None = None
    protocol: str = PER_DATE
    threshold: float = 0.5
    tile: int | None = None
    overlap: int | None = None
    batch: int | None = None
    device: str = "auto"
    precision: str = "auto"
    tta: str = "none"


def evaluate_scene(request: SceneRequest, listener: Listener, maps: Path, pictures: Path, panels: int) -> Report:
    """The numbers of what `detect` says of a scene; its products stay in the folder `maps`, pictures in `pictures`.

    The maps are the consistent ones that `detect` writes, not the published ones of `geofcs eval --data`. Raises what
    `detect` raises, and `InputError` for a truth that cannot be used.
    """
    return measure_scene(request, listener, maps, pictures, panels).report


def measure_scene(request: SceneRequest, listener: Listener, maps: Path, pictures: Path, panels: int) -> Measured:
    """The same with the speed of the whole of `detect`, outputs and all."""
    protocols = protocols_named(request.protocol)
    pair = plan_pair(request.t1, request.t2, request.scene)
    info = read_weights_info(request.weights)
    classes = None if request.classes in (None, BINARY.name) else scheme_named(str(request.classes))
    truth = plan_truth(
        request.truth, pair.grid, classes or info.classes, changed_value=request.changed_value, scene=pair.t1.path
    )
    scheme = common_scheme(info.classes, BINARY if request.classes == BINARY.name else truth.scheme)
    if isinstance(truth, RasterTruth) and truth.doubt:
        listener.note(truth.doubt)
    began = time.perf_counter()
    run = detect(_detect_request(request, info, maps), listener)
    speed = pair.grid.height * pair.grid.width / 1e6 / (time.perf_counter() - began)
    windows = list(windows_of(pair.grid))
    metrics = metrics_for(scheme, protocols, len(windows), torch.device("cpu"))
    painter = PanelWriter(pictures, panels, len(windows), scheme)
    listener.stage("truth", len(windows), "windows", WINDOW**2)
    for sample, said in _compared(pair, truth, maps, info.classes, windows):
        said = in_ids_of(said, info.classes, scheme)
        add(metrics, said, Batch([sample]).labels(scheme))
        painter.add(sample, said.at(0))
        listener.advance(1)
    title = f"{request.weights.name} on {pair.t1.source.file.name} and {pair.t2.source.file.name}"
    report = report_of(metrics, protocols, scheme, title, _about(request, run))
    return Measured(report, parameter_count(info.config), speed, "Mpx/s")


def windows_of(grid: Grid) -> Iterator[Window]:
    """The windows of a grid, row by row, smaller at its right and lower edge."""
    for top in range(0, grid.height, WINDOW):
        for left in range(0, grid.width, WINDOW):
            yield Window(left, top, min(WINDOW, grid.width - left), min(WINDOW, grid.height - top))


def _detect_request(request: SceneRequest, info: WeightsInfo, maps: Path) -> DetectRequest:
    return DetectRequest(
        t1=request.t1, t2=request.t2, out=maps.absolute(), weights=request.weights, scene=request.scene,
        tile=request.tile, overlap=request.overlap, threshold=request.threshold, batch=request.batch,
        device=request.device, precision=request.precision, tta=request.tta, landcover=not info.classes.is_binary,
    )  # fmt: skip


def _compared(
    pair: ScenePair, truth: Truth, maps: Path, model: ClassScheme, windows: list[Window]
) -> Iterator[tuple[Sample, Maps]]:
    """Each window with its truth, ignored where the scene is invalid, and what was detected in it."""
    with ExitStack() as opening:
        opening.enter_context(gdal_settings())
        reader, layers = opening.enter_context(pair.open()), opening.enter_context(truth.open())
        names = ["change.tif", *([] if model.is_binary else ["landcover_t1.tif", "landcover_t2.tif"])]
        files = [opening.enter_context(rasterio.open(maps / name, driver="GTiff")) for name in names]
        for window in windows:
            pixels = reader.read(window)
            labels = labels_in(layers.read(window), truth.scheme)
            for label in labels:
                label[~pixels.valid] = IGNORE
            t1, t2 = (image.round().astype(np.uint8) for image in (pixels.t1, pixels.t2))
            name = f"row_{int(window.row_off)}_column_{int(window.col_off)}"
            yield Sample(t1, t2, *labels, name), _said(files, window)


def _said(files: list[DatasetReader], window: Window) -> Maps:
    """(1, h, w) maps; pixels without data, which no label counts, are called unchanged."""
    change, *covers = (torch.from_numpy(_values(file, window))[None] for file in files)
    return Maps((change > 0).to(torch.uint8), *(covers or (None, None)))


def _values(file: DatasetReader, window: Window) -> npt.NDArray[np.int32]:
    values: npt.NDArray[np.int32] = file.read(1, window=window).astype(np.int32)
    values[values == file.nodata] = 0
    return values


def _about(request: SceneRequest, run: dict[str, Any]) -> dict[str, Any]:
    plan = run["plan"]
    return {
        "weights": request.weights.name,
        "weights_sha256": plan["weights"]["sha256"],
        "trained": run["weights"]["trained"],
        "scene": f"{parse_address(request.t1).shown}, {parse_address(request.t2).shown}",
        "truth": str(request.truth),
        "images": f"windows of {WINDOW} pixels; OA, pooled is that of the whole scene",
        "maps": f"as geofcs detect writes them: changed above a score of {request.threshold:g}, then the highest class",
        "tta": request.tta,
        "precision": plan["compute"]["precision"],
    }
