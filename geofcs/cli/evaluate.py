"""`geofcs eval`: how good a model is on labelled pairs, or on a scene."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from geofcs.cli import options
from geofcs.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from geofcs.cli.progress import RunListener
    from geofcs.evaluation.comparison import Comparison
    from geofcs.evaluation.folder import FolderRequest
    from geofcs.evaluation.report import Report
    from geofcs.evaluation.scene import SceneRequest

PAIRS, SCENE, OUTPUT = "Which pairs", "One scene", "What is written"

Weights = Annotated[
    list[str] | None,
    Option(
        help="The model, a .safetensors file. Several, each with its --weights, are compared. "
        "Default: the small one in the package."
    ),
]
Dataset = Annotated[
    str | None, Option(help="second, landsat or levir: the classes, and the folder data/NAME.", rich_help_panel=PAIRS)
]
Data = Annotated[Path | None, Option(help="The folder of the dataset, in any layout.", rich_help_panel=PAIRS)]
Classes = Annotated[
    str | None,
    Option(help="Classes of the labels, if the folder does not tell; binary compares change alone.",
           rich_help_panel=PAIRS),
]  # fmt: skip
Split = Annotated[str, Option(help="test, val or train.", rich_help_panel=PAIRS)]
Published = Annotated[
    bool,
    Option("--published-protocol", help="Count Landsat-SCD's copies, and what is outside the scene, as the authors do.",
           rich_help_panel=PAIRS),
]  # fmt: skip
Batch = Annotated[int | None, Option(min=1, help="Pairs or tiles per model call.")]
Scene = Annotated[
    tuple[str, str] | None, Option(metavar="T1 T2", help="Two GeoTIFFs, as geofcs detect takes them.",
                                   rich_help_panel=SCENE),
]  # fmt: skip
Truth = Annotated[
    Path | None,
    Option(help="What changed in them: a raster of from-to codes or of 0 and 1, or polygons.", rich_help_panel=SCENE),
]
ChangedValue = Annotated[
    int | None, Option(help="The value that means changed in a truth raster, where it is not 1 or 255.",
                       rich_help_panel=SCENE),
]  # fmt: skip
Protocol = Annotated[str, Option(help="per-date (the paper's), from-to, both, or from-to-published.")]
Panels = Annotated[int, Option(min=0, help="Pictures of so many pairs, spread over all.", rich_help_panel=OUTPUT)]
Out = Annotated[
    Path | None, Option("-o", "--out", help="The output folder. Default: ./WEIGHTS_DATASET_eval.",
                        rich_help_panel=OUTPUT),
]  # fmt: skip
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the output folder.", rich_help_panel=OUTPUT)]


def evaluate(
    weights: Weights = None,
    dataset: Dataset = None,
    data: Data = None,
    classes: Classes = None,
    split: Split = "test",
    published_protocol: Published = False,
    scene: Scene = None,
    truth: Truth = None,
    changed_value: ChangedValue = None,
    bands: options.Bands = None,
    bands_t1: options.BandsT1 = None,
    bands_t2: options.BandsT2 = None,
    aoi: options.Aoi = None,
    scale: options.Scale = None,
    scale_per_date: options.ScalePerDate = False,
    assume_crs: options.AssumeCrs = None,
    assume_aligned: options.AssumeAligned = False,
    threshold: options.Threshold = 0.5,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    batch: Batch = None,
    protocol: Protocol = "per-date",
    tta: options.Tta = "none",
    device: options.Device = "auto",
    precision: options.ModelPrecision = options.Precision.AUTO,
    panels: Panels = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a model on labelled pairs, or with --scene and --truth on a whole scene; several are compared.

    Writes metrics.json, .csv, .md and .png and the confusion matrices, with 95 % intervals from drawing images anew.
    Several models also get comparison.txt, .md, .csv, .json and .png: side by side, and how far they are apart.
    """
    from geofcs.evaluation.folder import FolderRequest
    from geofcs.evaluation.scene import SceneRequest
    from geofcs.model.shipped import named_or_shipped
    from geofcs.remote import stem_of
    from geofcs.scene import SceneOptions

    if scene is None and dataset is None and data is None:
        raise UsageError("say what to measure on: --data FOLDER, --dataset NAME, or --scene T1 T2 --truth FILE")
    models = [named_or_shipped(each) for each in weights or []] or [named_or_shipped(None)]
    if scene is None:
        request = FolderRequest(
            weights=models[0], dataset=dataset, data=data, classes=classes, split=split, protocol=protocol,
            batch=batch or 1, tile=tile, device=device, precision=precision.value, tta=tta,
            published=published_protocol,
        )  # fmt: skip
        place = out or _default_out(models, dataset or (data.resolve().name if data else ""))
        requests = [replace(request, weights=each) for each in models]
        _run(partial(_on_pairs, requests, panels), place, overwrite=overwrite, quiet=quiet)
        return
    if truth is None or dataset or data:
        raise UsageError("--scene T1 T2 goes with --truth FILE, and without --data and --dataset")
    options_of_scene = SceneOptions(
        bands=bands, bands_t1=bands_t1, bands_t2=bands_t2, aoi=aoi, scale=scale, scale_per_date=scale_per_date,
        assume_crs=assume_crs, assume_aligned=assume_aligned,
    )  # fmt: skip
    scene_request = SceneRequest(
        t1=scene[0], t2=scene[1], truth=truth, weights=models[0], scene=options_of_scene, classes=classes,
        changed_value=changed_value, protocol=protocol, threshold=threshold, tile=tile, overlap=overlap, batch=batch,
        device=device, precision=precision.value, tta=tta,
    )  # fmt: skip
    place = out or _default_out(models, stem_of(scene[0]))
    scene_requests = [replace(scene_request, weights=each) for each in models]
    _run(partial(_on_scene, scene_requests, panels), place, overwrite=overwrite, quiet=quiet)


def _default_out(weights: list[Path], name: str) -> Path:
    return Path(f"{weights[0].stem}_{name}_eval" if len(weights) == 1 else f"{name}_comparison")


def _run(
    measure: Callable[[Path, RunListener], Report | Comparison], out: Path, *, overwrite: bool, quiet: bool
) -> None:
    """Measure into a folder that gets its name once everything is in it, and print the numbers."""
    from geofcs.cli.progress import listener_for
    from geofcs.evaluation.report import Report
    from geofcs.evaluation.write import write_comparison, write_report
    from geofcs.staging import staged

    with staged(out, overwrite=overwrite) as folder, listener_for(quiet=quiet, as_json=False) as listener:
        found = measure(folder, listener)
        if isinstance(found, Report):
            write_report(folder, found)
        else:
            write_comparison(folder, found)
    if isinstance(found, Report):
        _print(found)
    else:
        _print_comparison(found)
    if not quiet:
        _say_where(out)


def _on_pairs(requests: list[FolderRequest], panels: int, folder: Path, listener: RunListener) -> Report | Comparison:
    from geofcs.evaluation.comparison import compare_folder
    from geofcs.evaluation.folder import evaluate_folder

    if len(requests) > 1:
        return compare_folder(requests, listener, folder, panels)
    return evaluate_folder(requests[0], listener, folder / "panels", panels)


def _on_scene(requests: list[SceneRequest], panels: int, folder: Path, listener: RunListener) -> Report | Comparison:
    from geofcs.evaluation.comparison import compare_scene
    from geofcs.evaluation.scene import evaluate_scene

    if len(requests) > 1:
        return compare_scene(requests, listener, folder, panels)
    return evaluate_scene(requests[0], listener, folder / "maps", folder / "panels", panels)


def _print(report: Report) -> None:
    """The headline numbers as a table on the terminal."""
    from rich.table import Table

    from geofcs.cli.terminal import stdout
    from geofcs.evaluation.report import TITLES
    from geofcs.evaluation.tables import with_interval

    table = Table(title=report.title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("%")
    for quality in report.qualities:
        table.add_column(quality.protocol, justify="right")
    for number in dict.fromkeys(number for quality in report.qualities for number in quality.numbers):
        cells = [
            with_interval(quality.numbers.get(number), quality.intervals.get(number)) for quality in report.qualities
        ]
        table.add_row(TITLES[number], *cells)
    stdout.print(table, markup=False)
    for note in report.notes:
        stdout.print(note, markup=False)


def _print_comparison(comparison: Comparison) -> None:
    from geofcs.cli.terminal import stdout
    from geofcs.evaluation.comparison_tables import as_text

    stdout.print(as_text(comparison), markup=False, end="")


def _say_where(out: Path) -> None:
    from geofcs.cli.terminal import stderr

    stderr.print(f"tables, matrices and pictures: {out}/", markup=False)
