"""`geofcs bench`: how near the model runs to what the machine can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from geofcs.cli.options import Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from geofcs.bench.run import Results
    from geofcs.bench.scan import ScanTimes
    from geofcs.bench.timing import Note


class Part(StrEnum):
    """What is timed."""

    SCAN = "scan"
    MODEL = "model"
    TRAIN = "train"
    SCENE = "scene"
    POLYGONS = "polygons"
    ALL = "all"


class Where(StrEnum):
    """Devices that can be timed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


WHAT, HOW = "What is timed", "How"

What = Annotated[
    Part,
    Argument(help="All is scan, model and, on a GPU, training. Scene makes a large pair, polygons a large raster."),
]
Model = Annotated[
    list[str] | None,
    Option(
        help="base, small, tiny, pico, changemamba or scannet. Repeatable. Default: base, on a CPU pico too.",
        rich_help_panel=WHAT,
    ),
]
Size = Annotated[
    int | None,
    Option(
        min=32,
        help="Pixels a side. Default: 512, of training 416 too, of scenes and polygons 4096.",
        rich_help_panel=WHAT,
    ),
]
Batch = Annotated[
    int | None,
    Option(min=1, help="Pairs per call. Default: 8, of models on a CPU 1, of training 2 and 10.",
           rich_help_panel=WHAT),
]  # fmt: skip
Precisions = Annotated[
    list[str] | None,
    Option("--precision", help="fp32, bf16 or fp16. Repeatable. Default: bf16, on a CPU fp32 too.",
           rich_help_panel=WHAT),
]  # fmt: skip
Other = Annotated[
    str | None,
    Option(metavar="MODULE:FUNCTION", help="Time this too: a model (t1, t2) -> anything, or a scan as geofcs's.",
           rich_help_panel=WHAT),
]  # fmt: skip
Device = Annotated[Where, Option(help="auto is cuda where there is one.", rich_help_panel=HOW)]
Repeats = Annotated[
    int | None, Option(min=1, help="Timed calls; the median counts. Default: 20, on a CPU 5.", rich_help_panel=HOW)
]
Threads = Annotated[
    int | None,
    Option(
        min=1,
        help="CPU threads. Default: torch's; of a scene and polygons 2, of a scene on a GPU all.",
        rich_help_panel=HOW,
    ),
]
Json = Annotated[Path | None, Option(help="Write everything into this file as well.", rich_help_panel=HOW)]


def bench(
    what: What = Part.ALL,
    model: Model = None,
    size: Size = None,
    batch: Batch = None,
    precision: Precisions = None,
    other: Other = None,
    device: Device = Where.AUTO,
    repeats: Repeats = None,
    threads: Threads = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Time scan, model, training, a whole scene or polygons against plain work measured in the same run.

    The weights are random. A scan is held against plain copies of its input, a model against matrix products of as
    many operations (the floor). A scene is a whole detect: on a CPU with a model that costs nothing, held against
    reading and writing the same files with GDAL alone; on a GPU with each model, held against the model by itself.
    Polygons of a change raster, from file to file, are held against one call of GDAL on the whole, which keeps none.
    """
    from geofcs.bench.run import Request
    from geofcs.bench.run import bench as run

    request = Request(
        parts=() if what is Part.ALL else (what.value,), device=device.value, models=tuple(model or ()), size=size,
        batch=batch, precisions=tuple(precision or ()), repeats=repeats, threads=threads, other=other,
    )  # fmt: skip
    with _spoken(quiet=quiet) as note:
        results = run(request, note)
    _print(results)
    if json is not None:
        _write(results, json)


@contextmanager
def _spoken(*, quiet: bool) -> Iterator[Note]:
    """A line on the terminal that says what is being measured."""
    from geofcs.cli.terminal import stderr

    if quiet:
        yield lambda _: None
        return
    with stderr.status("") as status:
        yield lambda what: status.update(f"timing {what}")


def _print(results: Results) -> None:
    from geofcs.cli.terminal import stdout

    for line in _machine_lines(results):
        stdout.print(line, markup=False)
    for scan in results.scans:
        stdout.print()
        stdout.print(_shapes(scan))
    stdout.print()
    stdout.print(_ratios(results))


def _machine_lines(results: Results) -> Iterator[str]:
    machine = results.machine
    cuda = "without CUDA" if machine.cuda is None else f"CUDA {machine.cuda}"
    yield f"{machine.name}, {machine.threads} threads, torch {machine.torch} {cuda}, geofcs {machine.geofcs}"
    yield f"scan: {machine.kernels}, {machine.kernels_are}"
    products = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in results.matrix_rates.items())
    yield f"copies {results.copy_bandwidth / 1e9:.3g} GB/s, matrix products {products}"


def _shapes(scan: ScanTimes) -> Table:
    """Times of a scan at each shape."""
    from geofcs.bench.marks import PASSES

    columns = [(name, passes) for name in scan.names for passes in PASSES]
    titles = [PASSES[passes] + ("" if name == "geofcs" else f", {name}") for name, passes in columns]
    table = _table(f"Scan of {scan.model} in {scan.precision}, ms", ["shape", "runs", "copy", *titles])
    for stage in scan.stages:
        times = [stage.seconds[name][passes] for name, passes in columns]
        shown = [f"{1e3 * each:.3g} ({each / stage.copy:.1f} x)" for each in times]
        table.add_row(" x ".join(map(str, stage.shape)), str(stage.runs), f"{1e3 * stage.copy:.3g}", *shown)
    return table


def _ratios(results: Results) -> Table:
    """All figures and what they are held against."""
    from geofcs.bench.marks import rows

    listed = list(rows(results))
    marked = [mark for mark in ("published", "must", "aim") if any(getattr(row.marks, mark) for row in listed)]
    table = _table(None, ["median", "time", "ratio", *marked])
    for row in listed:
        table.add_row(row.what, row.time, row.ratio, *(getattr(row.marks, mark) for mark in marked))
    return table


def _table(title: str | None, columns: list[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _write(results: Results, path: Path) -> None:
    import json

    from geofcs.errors import OutputError

    try:
        path.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
