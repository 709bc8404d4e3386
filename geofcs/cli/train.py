"""`geofcs train`: from a dataset to weights."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

from geofcs.cli.signals import signals
from geofcs.cli.terminal import end_at_once, stderr, stdout
from geofcs.errors import GeofcsError, UsageError

if TYPE_CHECKING:
    from geofcs.training.config import RunConfig
    from geofcs.training.rehearsal import Rehearsal
    from geofcs.training.train import Outcome

Dataset = Annotated[
    str | None,
    Option(help="Which config: second, landsat, levir, synthetic, or folder for pairs of your own with any classes."),
]
Data = Annotated[Path | None, Option(help="The folder of the dataset. Default: data/NAME.")]
Config = Annotated[Path | None, Option(help="A YAML config of your own, in place of the dataset's.")]
Model = Annotated[str | None, Option(help="mamba-fcs, changemamba or scannet: which config. Default: mamba-fcs.")]
Recipe = Annotated[str | None, Option(help="Another config of the dataset: published (exactly so), or small.")]
Set = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="One key: train.lr=5e-5. Repeatable.")]
Start = Annotated[
    Path | None,
    Option("--from", "--weights", help="Start from these weights: an encoder or a model, .safetensors or .pth."),
]
Resume = Annotated[Path | None, Option(metavar="RUN", help="Go on with this run, from where it was saved.")]
Out = Annotated[Path | None, Option("-o", "--out", metavar="RUN", help="The folder that the run is written into.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would be trained, try ten iterations, write nothing.")]
Quiet = Annotated[bool, Option("-q", "--quiet", help="Say nothing but errors.")]

USUAL_FOLDER = Path("data")
"""Where datasets lie by their names, for geofcs eval too."""


def train(
    dataset: Dataset = None,
    data: Data = None,
    config: Config = None,
    model: Model = None,
    recipe: Recipe = None,
    settings: Set = None,
    start: Start = None,
    resume: Resume = None,
    out: Out = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on labelled pairs.

    Ends with best.safetensors in RUN, which geofcs detect and geofcs eval take. Ctrl-C saves; --resume RUN goes on.
    """
    settings = settings or []
    if resume is not None:
        if dataset or data or config or model or recipe or start or out or dry_run:
            raise UsageError("--resume goes on with a run as it was begun: beside it only --set and -q can be said")
        _run(_config(resume / "config.yaml", settings, None, None), resume.absolute(), quiet=quiet, resume=True)
        return
    chosen = _config(_config_path(dataset, config, recipe, model), settings, data, start)
    if dry_run:
        _rehearse(chosen)
    elif out is None:
        raise UsageError("say where the run goes: -o RUN")
    else:
        _run(chosen, out.absolute(), quiet=quiet, resume=False)


def _config_path(dataset: str | None, config: Path | None, recipe: str | None, model: str | None) -> Path:
    from geofcs.training.config import recipe_file

    if config is not None:
        if dataset or recipe or model:
            raise UsageError("--config says everything: leave --dataset, --recipe and --model out")
        return config
    if dataset is None:
        raise UsageError("say --dataset second, landsat, levir, folder or synthetic, or --config FILE")
    return recipe_file(dataset, recipe, model)


def _config(path: Path, settings: list[str], data: Path | None, start: Path | None) -> RunConfig:
    """The config with what the command line says in its place; a dataset without a folder lies in data/NAME."""
    from geofcs.training.config import read_config

    said = [] if data is None else [f"data.folder={_quoted(data)}"]
    said += [] if start is None else [f"model.weights={_quoted(start)}"]
    config = read_config(path, [*said, *settings])
    usual = USUAL_FOLDER / config.data.dataset
    if config.data.folder is not None or not usual.is_dir():
        return config
    return read_config(path, [*said, *settings, f"data.folder={_quoted(usual)}"])


def _quoted(path: Path) -> str:
    """An absolute path as YAML takes any text."""
    return "'" + str(path.absolute()).replace("'", "''") + "'"


def _run(config: RunConfig, run: Path, *, quiet: bool, resume: bool) -> None:
    from geofcs.cli.train_progress import training_listener
    from geofcs.training.processes import leads
    from geofcs.training.train import train as run_training

    threading.excepthook = _unless_it_is_told
    with training_listener(quiet=quiet or not leads()) as listener, signals.may_finish(), _ending_alone(config):
        outcome = run_training(config, run, listener, signals.wanted, resume=resume)
    if not leads():
        return
    if not quiet:
        stderr.print(_closing_line(outcome), markup=False)
    if outcome.interrupted:
        raise Exit(signals.exit_code)


@contextmanager
def _ending_alone(config: RunConfig) -> Iterator[None]:
    """Of several processes, let one that fails end without waiting for what it was doing with the others."""
    try:
        yield
    except GeofcsError as error:
        if config.train.devices == 1:
            raise
        end_at_once(error, error.exit_code)


def _unless_it_is_told(failure: threading.ExceptHookArgs) -> None:
    """What kills a thread; but that TensorBoard's cannot write, the main thread says in one line."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def _closing_line(outcome: Outcome) -> str:
    if outcome.interrupted:
        return (
            f"stopped after {outcome.iteration} iterations, all saved; go on with geofcs train --resume {outcome.run}"
        )
    score = "n/a" if outcome.best is None else f"{outcome.best:.4f}"
    return (
        f"done; the best weights ({score}, after {outcome.best_iteration} iterations) are "
        f"{outcome.run / 'best.safetensors'}"
    )


def _rehearse(config: RunConfig) -> None:
    from geofcs.training.processes import leads
    from geofcs.training.rehearsal import rehearse

    with _ending_alone(config):
        rows = _rows(config, rehearse(config, end_at_once))
    for name, value in rows if leads() else ():
        stdout.print(f"{name:12}{value}", markup=False)


def _rows(config: RunConfig, found: Rehearsal) -> list[tuple[str, str]]:
    pairs = "without end" if found.train_pairs is None else f"{found.train_pairs}"
    epochs = "" if found.epochs is None else f", {found.epochs:.1f} epochs"
    return [
        ("data", f"{found.data}: {pairs} to train on, {found.validation_pairs} held out"),
        ("model", f"{config.model.architecture} {config.model.size}, {found.parameters:,} parameters; {found.start}"),
        ("iterations", f"{config.train.iterations} of {config.train.batch} pairs{epochs}"),
        ("device", f"{found.device}, {found.precision}"),
        ("memory", f"{found.peak_bytes / 1e9:.2f} GB at most, in ten iterations"),
        ("speed", f"{found.seconds_per_iteration:.3f} s an iteration, {found.pairs_per_second:.1f} pairs a second; "
                  f"{100 * found.waiting:.0f} % of it waiting for data"),
        ("time", f"about {found.hours:.1f} hours, without validations"),
        ("loss", "finite" if found.losses_finite else "not finite in some iterations"),
    ]  # fmt: skip
