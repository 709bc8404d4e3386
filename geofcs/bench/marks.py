"""The ratios that the model's speed is judged by, beside what the published code reaches and what is asked of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from geofcs.bench.model import ModelTimes
from geofcs.bench.polygons import PolygonTimes
from geofcs.bench.run import SIZE, TRAINED, Results
from geofcs.bench.scan import MAKE, ScanTimes
from geofcs.bench.scene import SceneTimes
from geofcs.bench.train import TrainingTimes
from geofcs.bench.with_model import ModelledTimes

GIBIBYTE = 2**30


class Marks(NamedTuple):
    """What the published code reaches, what ours must and what it aims at."""

    published: str = ""
    must: str = ""
    aim: str = ""


class Row(NamedTuple):
    """A figure: what it is of, the time, the ratio or memory, and the marks."""

    what: str
    time: str
    ratio: str
    marks: Marks


SCAN = {"forward": Marks("78 x", "10 x", "5 x"), "both": Marks("212 x", "35 x", "18 x")}
MODEL = {"cuda": Marks("27 x", "5 x", "2.5 x"), "fp32": Marks(must="1.5 x"), "bf16": Marks(must="2.5 x")}
RIVALS_ON_GPU = {"scannet": Marks(must="3 x")}
YARDSTICK = "base"
"""The Mamba-FCS whose own ratio a rival's is held against."""
RIVALS = {"changemamba": Marks(must="1.3 x")}
SHARE = Marks(must="10 %")
TRAINING = {
    TRAINED[0]: Marks("200 ms", "80 ms", "45 ms"),
    TRAINED[1]: Marks("46 ms, 33 GiB", "18 ms, 20 GiB", "10 ms, 12 GiB"),
}
"""Of Base at 512 pixels: in bf16 on a GPU (published: on an H100), and on two cores of a CPU."""
WHOLE_RUN, AROUND = Marks(must="3 x", aim="2 x"), Marks(must="12 s")
"""Of 16,384 x 16,384 pixels on two cores of a CPU."""
POLYGONIZE, POLYGON_MEMORY = Marks(must="2 x"), Marks(must="1 GB")
MARKED_SCENE = 16_384
RATE, IDLE = Marks(must="80 %", aim="92 %"), Marks(must="10 %")
OVER_MODEL, IN_FLIGHT = Marks(must="1.6 x", aim="1.25 x"), Marks(must="2")
"""Of 32,768 x 32,768 pixels with Base in bf16 on an H100 with 16 cores."""
FEW_THREADS = 0.1
"""Places with fewer on average are not listed."""
MARKED_ON_GPU = "base", 32_768, "bf16"
PASSES = {"forward": "forward", "both": "forward + backward"}


def rows(results: Results) -> Iterator[Row]:
    """Every figure with its ratio."""
    on_gpu = results.machine.device == "cuda"
    for scan in results.scans:
        yield from _scan_rows(scan, on_gpu)
    for model in results.models:
        yield from _model_rows(model, on_gpu)
        yield from _rival_rows(model, results.models)
    for training in results.trainings:
        yield _training_row(training, on_gpu)
    for scene in results.scenes:
        yield from _modelled_rows(scene, on_gpu) if isinstance(scene, ModelledTimes) else _scene_rows(scene)
    for polygons in results.polygons:
        yield from _polygon_rows(polygons)


def _scan_rows(scan: ScanTimes, on_gpu: bool) -> Iterator[Row]:
    batch = scan.stages[0].shape[0]
    for name in scan.names:
        for passes in MAKE:
            judged = on_gpu and scan.published_ratio(name, passes) is not None and scan.precision == "bf16"
            what = f"scan {PASSES[passes]}, {scan.model}, {scan.precision}, batch {batch}{_unless_ours(name)}"
            marks = SCAN[passes] if judged else Marks()
            total = _milliseconds(scan.total(name, passes))
            yield Row(what, total, f"{scan.ratio(name, passes):.1f} x copies", marks)
            if judged:
                ratio = f"{scan.published_ratio(name, passes):.1f} x copies"
                yield Row("  over the copies of the H100 that the marks are of", "", ratio, marks)


def _model_rows(model: ModelTimes, on_gpu: bool) -> Iterator[Row]:
    judged = model.size == SIZE and model.model == "base"
    marks = MODEL.get("cuda" if on_gpu else model.precision, Marks()) if judged else Marks()
    if on_gpu and model.size == SIZE:
        marks = RIVALS_ON_GPU.get(model.model, marks)
    for name, seconds in model.seconds.items():
        what = f"{model.model} at {model.size}, {model.precision}, batch {model.batch}, a pair{_unless_ours(name)}"
        yield Row(what, _milliseconds(seconds), f"{model.ratio(name):.2f} x floor", marks)
    if model.scan_share is not None:
        share_marks = SHARE if model.precision == "fp32" else Marks()
        yield Row("  of it the scan", "", f"{100 * model.scan_share:.1f} %", share_marks)
    for cache, seconds in model.first_tile.items():
        must = {"empty cache": "15 s", "filled cache": "3 s"}.get(cache, "")
        yield Row(f"  first tile, {cache}", f"{seconds:.2f} s", "", Marks(must=must))


def _rival_rows(model: ModelTimes, models: Sequence[ModelTimes]) -> Iterator[Row]:
    """A rival's ratio over that of Mamba-FCS, where both were timed in the same way."""
    for other in models:
        same = (other.size, other.batch, other.precision) == (model.size, model.batch, model.precision)
        if model.model in RIVALS and other.model == YARDSTICK and same:
            ratio = model.ratio("geofcs") / other.ratio("geofcs")
            yield Row(f"  over {YARDSTICK}'s own ratio", "", f"{ratio:.2f} x", RIVALS[model.model])


def _training_row(training: TrainingTimes, on_gpu: bool) -> Row:
    batch = training.batch, training.size
    judged = on_gpu and training.model == "base" and training.precision == "bf16"
    what = f"training {training.model}, batch {batch[0]} at {batch[1]}, {training.precision}, {training.passes}, a pair"
    peak = "" if training.peak_bytes is None else f"{training.peak_bytes / GIBIBYTE:.1f} GiB"
    return Row(what, _milliseconds(training.seconds), peak, TRAINING.get(batch, Marks()) if judged else Marks())


def _scene_rows(scene: SceneTimes) -> Iterator[Row]:
    judged = scene.size == MARKED_SCENE
    what = f"detect of {scene.size} x {scene.size}, {scene.polygons} polygons"
    marks = WHOLE_RUN if judged else Marks()
    yield Row(what, _seconds(scene.detect.seconds), f"{scene.ratio:.2f} x bare GDAL", marks)
    for stage, seconds in scene.stages.items():
        yield Row(f"  {stage}", _seconds(seconds), "", Marks())
    yield Row("  its peak of memory", "", f"{scene.detect.peak_bytes / GIBIBYTE:.2f} GiB", Marks())
    per_area = _seconds(scene.core_seconds_per_100_megapixels)
    yield Row("  core seconds per 100 megapixels", per_area, "", AROUND if judged else Marks())
    yield Row("  core seconds, all", _seconds(scene.detect.core_seconds), "", Marks())
    yield Row("  of them making the stub's answer", _seconds(scene.stub_core_seconds), "not counted above", Marks())
    yield Row("bare GDAL", _seconds(sum(scene.steps.values())), "", Marks())
    for step, seconds in scene.steps.items():
        yield Row(f"  {step}", _seconds(seconds), "", Marks())


def _polygon_rows(times: PolygonTimes) -> Iterator[Row]:
    judged = times.size == MARKED_SCENE
    time, memory = (POLYGONIZE, POLYGON_MEMORY) if judged else [Marks()] * 2
    what = f"polygons of {times.size} x {times.size}, {times.ours.polygons}, core seconds"
    yield Row(what, _seconds(times.ours.core_seconds), f"{times.ratio:.2f} x one call of GDAL", time)
    yield Row("  its peak of memory", "", f"{times.ours.peak_bytes / 1e9:.2f} GB", memory)
    yield Row("one call of GDAL, core seconds", _seconds(times.at_once.core_seconds), "", Marks())
    yield Row("  its peak of memory", "", f"{times.at_once.peak_bytes / 1e9:.2f} GB", Marks())


def _modelled_rows(scene: ModelledTimes, on_gpu: bool) -> Iterator[Row]:
    judged = on_gpu and (scene.model, scene.size, scene.precision) == MARKED_ON_GPU
    rate, idle, whole, in_flight = (RATE, IDLE, OVER_MODEL, IN_FLIGHT) if judged else [Marks()] * 4
    what = f"detect of {scene.size} x {scene.size} with {scene.model}, {scene.precision}, {scene.polygons} polygons"
    yield Row(what, _seconds(scene.detect.seconds), f"{scene.over_model:.2f} x the model's time", whole)
    for stage, seconds in scene.stages.items():
        yield Row(f"  {stage}", _seconds(seconds), "", Marks())
    rates = f"{scene.pace.tiles_per_second:.0f} tiles/s"
    yield Row("  while blocks ran", rates, f"{100 * scene.rate_share:.0f} % of the model's", rate)
    if scene.idle_share is not None:
        yield Row("  GPU idle meanwhile", "", f"{100 * scene.idle_share:.0f} %", idle)
    yield Row("  blocks in flight", "", str(scene.blocks_in_flight), in_flight)
    for place, threads in scene.pace.threads.items():
        if threads >= FEW_THREADS:
            yield Row(f"  threads in {place}", "", f"{threads:.2f}", Marks())
    yield Row("  its peak of memory", "", f"{scene.detect.peak_bytes / GIBIBYTE:.2f} GiB", Marks())
    yield Row("  core seconds", _seconds(scene.detect.core_seconds), "", Marks())
    yield Row(f"{scene.model} alone, a tile, before", _milliseconds(scene.before), "", Marks())
    yield Row(f"{scene.model} alone, a tile, after", _milliseconds(scene.after), "", Marks())


def _unless_ours(name: str) -> str:
    return "" if name == "geofcs" else f", {name}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{1e3 * seconds:.0f} ms"
