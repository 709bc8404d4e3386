"""`geofcs eval`: how good a model is on labelled pairs, or on a scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from geofcs.cli.options import Device, ModelPrecision, Precision, Quiet
from geofcs.errors import UsageError

if TYPE_CHECKING:
    from geofcs.evaluation.folder import FolderRequest
    from geofcs.evaluation.report import Report

PAIRS, SCENE, OUTPUT = "Which pairs", "One scene", "What is written"

Weights = Annotated[Path, Option(help="The model, a .safetensors file.")]
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
Batch = Annotated[int, Option(min=1, help="Pairs per model call.", rich_help_panel=PAIRS)]
Protocol = Annotated[str, Option(help="per-date (the paper's), from-to, or both.")]
Tta = Annotated[str, Option(help="none, or flips: the mean over the four flips, at four times the time.")]
Panels = Annotated[int, Option(min=0, help="Pictures of so many pairs, spread over all.", rich_help_panel=OUTPUT)]
Out = Annotated[
    Path | None, Option("-o", "--out", help="The output folder. Default: ./WEIGHTS_DATASET_eval.",
                        rich_help_panel=OUTPUT),
]  # fmt: skip
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the output folder.", rich_help_panel=OUTPUT)]


def evaluate(
    weights: Weights,
    dataset: Dataset = None,
    data: Data = None,
    classes: Classes = None,
    split: Split = "test",
    batch: Batch = 1,
    protocol: Protocol = "per-date",
    tta: Tta = "none",
    device: Device = "auto",
    precision: ModelPrecision = Precision.AUTO,
    panels: Panels = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model on labelled pairs.

    Writes metrics.json, .csv, .md and .png and the confusion matrices, with 95 % intervals from drawing images anew.
    """
    from geofcs.evaluation.folder import FolderRequest

    if dataset is None and data is None:
        raise UsageError("say which pairs: --data FOLDER, or --dataset NAME")
    request = FolderRequest(
        weights=weights, dataset=dataset, data=data, classes=classes, split=split, protocol=protocol, batch=batch,
        device=device, precision=precision.value, tta=tta,
    )  # fmt: skip
    name = dataset or (data.resolve().name if data else "")
    _evaluate_folder(request, panels, out or Path(f"{weights.stem}_{name}_eval"), overwrite=overwrite, quiet=quiet)


def _evaluate_folder(request: FolderRequest, panels: int, out: Path, *, overwrite: bool, quiet: bool) -> None:
    from geofcs.cli.progress import listener_for
    from geofcs.evaluation.folder import evaluate_folder
    from geofcs.evaluation.write import staged, write_report

    with staged(out, overwrite=overwrite) as folder, listener_for(quiet=quiet, as_json=False) as listener:
        report = evaluate_folder(request, listener, folder / "panels", panels)
        write_report(folder, report)
    _print(report)
    if not quiet:
        _say_where(out)


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


def _say_where(out: Path) -> None:
    from geofcs.cli.terminal import stderr

    stderr.print(f"tables, matrices and pictures: {out}/", markup=False)
