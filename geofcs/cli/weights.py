"""`geofcs weights`: convert published checkpoints and back, and say what a weights file holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from geofcs.errors import OutputError

if TYPE_CHECKING:
    from rich.text import Text

    from geofcs.classes import ClassScheme
    from geofcs.model.weights import EncoderInfo, WeightsInfo

NAME_COLUMN = 18
"""Characters that names take before the values."""

app = Typer(no_args_is_help=True, help="Convert published weights, and say what a weights file holds.")


@app.command("import")
def import_(
    path: Annotated[Path, Argument(metavar="PATH.pth", help="A released checkpoint of a model or an encoder.")],
    out: Annotated[Path, Option("--out", "-o", help="The .safetensors file to write.")],
    classes: Annotated[
        str | None, Option(help="What the model tells apart: second, landsat or binary. An encoder needs none.")
    ] = None,
    tile: Annotated[
        int | None,
        Option(min=32, help="Pixels a side that it was trained at. Default: the authors', 512 or, for landsat, 416."),
    ] = None,
    half: Annotated[bool, Option("--half", help="Store float16: half the size, rounded weights.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Convert a published checkpoint (.pth) into a weights file that says itself what it is.

    Mamba-FCS, ChangeMamba and SCanNet become models for geofcs detect; a classifier (VMamba, ResNet in torchvision's
    layout) becomes an encoder that training starts from. SCanNet numbers SECOND's classes in another way: they are
    brought into the order of the others.

    The checkpoint is read without running anything in it, and every tensor has to fit.
    """
    import torch

    from geofcs.classes import scheme_named
    from geofcs.model.published import import_published

    scheme = None if classes is None else scheme_named(classes)
    with _free(out, path, overwrite=overwrite):
        info = import_published(path, out, scheme, tile, torch.float16 if half else torch.float32)
    _print(out, info)


@app.command()
def export(
    path: Annotated[Path, Argument(metavar="WEIGHTS", help="A .safetensors file with a whole model.")],
    out: Annotated[Path, Option("--out", "-o", help="The .pth file to write.")],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the output if it exists.")] = False,
) -> None:
    """Write a model as its authors' code has it: their names and shapes of tensors, their order of classes.

    Tensors that do nothing are not written: Mamba-FCS's code misses its "cross_attn" ones, and loads without "strict".
    """
    from geofcs.model.published import export_published

    with _free(out, path, overwrite=overwrite):
        info = export_published(path, out)
    _print(path, info)


@contextmanager
def _free(out: Path, path: Path, *, overwrite: bool) -> Iterator[None]:
    """A name that nothing has which must not be replaced, and under which nobody else writes meanwhile."""
    from geofcs.lock import locked

    with locked(out.absolute()):
        if out.exists() and (not overwrite or out.samefile(path)):
            raise OutputError(f"{out}: exists; choose another name or, if it is not the input, --overwrite it")
        yield


@app.command()
def show(
    path: Annotated[
        str | None,
        Argument(metavar="WEIGHTS", help="A .safetensors file that geofcs wrote. Default: the one in the package."),
    ] = None,
) -> None:
    """Say what a weights file holds: architecture, classes, tile size, normalisation, how it was trained."""
    from geofcs.cli.terminal import stdout
    from geofcs.model.shipped import CARD, SHIPPED, named_or_shipped
    from geofcs.model.weights import read_info

    chosen = named_or_shipped(path)
    _print(chosen, read_info(chosen))
    if chosen == SHIPPED:
        stdout.print(f"What they are good for and not: {CARD}", markup=False)


def _print(path: Path, info: WeightsInfo | EncoderInfo) -> None:
    from rich.text import Text

    from geofcs.cli.terminal import stdout

    stdout.print(str(path), style="bold", markup=False)
    for name, value in _rows(info):
        stdout.print(Text(f"{name:{NAME_COLUMN}}", style="dim"), value, sep="", markup=False)


def _rows(info: WeightsInfo | EncoderInfo) -> Iterator[tuple[str, str | Text]]:
    """What the file says, a name and a value at a time."""
    from geofcs.model.build import parameter_count
    from geofcs.model.weights import EncoderInfo

    yield "architecture", info.architecture
    if isinstance(info, EncoderInfo):
        yield "use", "an encoder only: training starts from it, geofcs detect cannot use it"
        yield "encoder", info.config.said
    else:
        yield "encoder", info.config.encoder.said
        yield from _class_rows(info.classes)
        yield "tile", f"{info.tile} pixels"
        for date, normalisation in zip(("T1", "T2"), info.config.normalisation, strict=True):
            yield f"normalisation {date}", f"mean {normalisation.mean}, std {normalisation.std}"
    yield "parameters", f"{parameter_count(info.config):,}"
    yield "trained", info.trained
    yield "sha256", info.sha256


def _class_rows(scheme: ClassScheme) -> Iterator[tuple[str, str | Text]]:
    from rich.text import Text

    yield "classes", f"{scheme.name}: {'changed or not' if scheme.is_binary else 'no change and'}"
    for number, cover in enumerate(scheme.land_covers, 1):
        swatch = Text("  ", style=f"on rgb({','.join(map(str, cover.colour))})")
        yield "", Text.assemble(f"{number:3} ", swatch, f" {cover.name} {cover.colour}")
