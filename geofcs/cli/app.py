"""The `geofcs` command: its sub-commands, and how a failure becomes one line and an exit code."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import warnings
from typing import Annotated, NoReturn

import typer

from geofcs import __version__
from geofcs.cli.bench import bench
from geofcs.cli.check import check
from geofcs.cli.data import app as data
from geofcs.cli.detect import detect
from geofcs.cli.doctor import doctor
from geofcs.cli.evaluate import evaluate
from geofcs.cli.polygonize import polygonize
from geofcs.cli.signals import leave_by_force_after, signals
from geofcs.cli.synth import synth
from geofcs.cli.terminal import end_at_once, show_failure, show_warning
from geofcs.cli.train import train
from geofcs.cli.verify import verify
from geofcs.cli.weights import app as weights
from geofcs.errors import GeofcsError, LostGpuError, StalledError
from geofcs.libraries import BLOCK_THREADS
from geofcs.noise import print_no_undecodable_messages

SECONDS_TO_LEAVE = 5.0
"""For a run that has stalled: Python would wait for threads that hang."""

app = typer.Typer(
    name="geofcs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From-to change maps and polygons from two georeferenced images of any size.",
    epilog=(
        "Exit codes: 0 done, 2 usage, 3 input or plan, 4 a source that cannot be read any more, 5 output, "
        "6 compute (memory, NaN, workers), 7 done but for tiles that failed, 8 verification, 130 and 143 interrupted."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"geofcs {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[  # noqa: ARG001, its callback deals with it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    print_no_undecodable_messages()  # not before: typer has just set a hook of its own


app.command()(detect)
app.command()(check)
app.command()(verify)
app.command()(polygonize)
app.command()(synth)
app.command()(train)
app.command("eval")(evaluate)
app.command()(doctor)
app.command()(bench)
app.add_typer(data, name="data")
app.add_typer(weights, name="weights")


def main() -> None:
    """Run the command line; a `GeofcsError` ends it with one line on stderr and its exit code."""
    signals.listen()
    warnings.showwarning = show_warning
    try:
        app()
    except SystemExit as end:
        _leave(end.code)
    except LostGpuError as error:
        end_at_once(error, error.exit_code)
    except GeofcsError as error:
        show_failure(error)
        if isinstance(error, StalledError):
            leave_by_force_after(SECONDS_TO_LEAVE, error.exit_code)
        _leave(error.exit_code)


def _leave(exit_code: int | str | None) -> NoReturn:
    """End; without Python's farewell where that does harm or takes long.

    A thread that is still in a library would turn it into an abort. On a GPU it takes half a second, for which nobody
    waits but the user: the driver clears up by itself.
    """
    computes = any(thread.name.startswith(BLOCK_THREADS) for thread in threading.enumerate())
    if isinstance(exit_code, int) and (computes or _holds_a_gpu()):
        end_at_once(None, exit_code)
    sys.exit(exit_code)


def _holds_a_gpu() -> bool:
    """Whether this process, and no child of it, has worked on a GPU; nothing is loaded to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized() and not multiprocessing.active_children()
