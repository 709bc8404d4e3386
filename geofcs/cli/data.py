"""`geofcs data`: look through a dataset before training, and write it anew in a clean layout."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from geofcs.cli.options import Quiet
from geofcs.errors import InputError

if TYPE_CHECKING:
    from geofcs.classes import ClassScheme
    from geofcs.training.data.check import Findings
    from geofcs.training.data.copies import Copy

MOST_LISTED = 50
"""Copies listed of each kind, unless all are asked for; problems are always listed."""

app = Typer(no_args_is_help=True, help="Look through labelled pairs before training, and convert them.")

Folder = Annotated[Path, Argument(metavar="DIR", help="A dataset in any layout.")]
Classes = Annotated[str | None, Option(help="second, landsat or binary, if the folder does not tell.")]
Tile = Annotated[int, Option(min=32, help="Pixels a side of the tiles that scenes are cut into.")]


@app.command()
def check(
    folder: Folder,
    classes: Classes = None,
    tile: Tile = 512,
    every: Annotated[bool, Option("--all", help="List every copy, not the first fifty.")] = False,
    quiet: Quiet = False,
) -> None:
    """Count pairs, sizes and classes; list what is wrong, and copies of one ground within and across splits.

    Ends with exit code 3 if anything is wrong or a split leaks into another.
    """
    from geofcs.cli.terminal import stdout

    findings = _findings(folder, classes, tile, quiet=quiet)
    for line in _lines(findings, None if every else MOST_LISTED):
        stdout.print(line, markup=False)
    _conclude(findings)


@app.command()
def convert(
    folder: Folder,
    out: Annotated[Path, Argument(metavar="OUT", help="The folder to write, which must not exist.")],
    classes: Classes = None,
    tile: Tile = 512,
    keep_copies: Annotated[bool, Option("--keep-copies", help="Keep copies that names mark as augmented.")] = False,
    drop_leaks: Annotated[
        bool, Option("--drop-leaks", help="Leave out of train what is in val or test, and of val what is in test.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a dataset anew: train, val and test, each with A, B, labelA and labelB (or label), PNG, labels as ids."""
    from geofcs.cli.progress import listener_for
    from geofcs.cli.terminal import stdout
    from geofcs.training.data.convert import convert as run
    from geofcs.training.data.dataset import open_dataset

    left_out = _leaking(_findings(folder, classes, tile, quiet=quiet)) if drop_leaks else []
    dataset = open_dataset(folder, _scheme(classes), tile=tile, keep_copies=keep_copies)
    total = len(dataset.train) + len(dataset.val) + len(dataset.test)
    with listener_for(quiet=quiet, as_json=False) as listener:
        for note in dataset.notes:
            listener.note(note)
        listener.stage("pairs", total, "pairs", 0)
        counts = run(dataset, out, left_out, listener.advance)
    said = ", ".join(f"{count} {split}" for split, count in counts.items())
    stdout.print(f"{out}: {said}{f'; {len(left_out)} leaking pairs left out' if left_out else ''}", markup=False)


def _findings(folder: Path, classes: str | None, tile: int, *, quiet: bool) -> Findings:
    from geofcs.cli.progress import listener_for
    from geofcs.training.data.check import check_layout, check_sets
    from geofcs.training.data.layouts import find_layout
    from geofcs.training.data.scenes import find_scenes, scene_dataset

    scenes = find_scenes(folder)
    with listener_for(quiet=quiet, as_json=False) as listener:
        if scenes:
            dataset = scene_dataset(folder, scenes, _scheme(classes), tile)
            sets = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
            listener.stage("tiles", sum(map(len, sets.values())), "tiles", tile**2)
            return check_sets(folder, dataset.kind, dataset.scheme, sets, dataset.notes, listener.advance)
        layout = find_layout(folder, _scheme(classes))
        listener.stage("pairs", layout.pairs, "pairs", 0)
        return check_layout(layout, listener.advance)


def _scheme(classes: str | None) -> ClassScheme | None:
    from geofcs.classes import scheme_named

    return None if classes is None else scheme_named(classes)


def _leaking(findings: Findings) -> list[tuple[str, str]]:
    """(split, name) of each leak's pair that is worth less: train before val before test."""
    order = ["train", "val", "test"]
    found = []
    for copy in findings.leaks:
        sides = [(copy.first_split, copy.first), (copy.second_split, copy.second)]
        found.append(min(sides, key=lambda side: order.index(side[0])))
    return sorted(set(found))


def _lines(findings: Findings, most: int | None) -> Iterator[str]:
    counts = ", ".join(f"{count} {split}" for split, count in findings.counts.items())
    yield f"{findings.folder}: {findings.kind}, classes of {findings.scheme.name}: {counts}"
    yield from findings.notes
    sizes = ", ".join(f"{height} x {width} ({count})" for (height, width), count in sorted(findings.sizes.items()))
    yield f"sizes: {sizes or 'none'}"
    yield from _histogram(findings)
    yield from _list("problems", list(findings.problems), None)
    within = [copy for copy in findings.copies if not copy.leaks]
    yield from _list("copies within a split", [_copy_line(copy) for copy in within], most)
    yield from _list("leaks across splits", [_copy_line(copy) for copy in findings.leaks], most)


def _histogram(findings: Findings) -> Iterator[str]:
    """Pixels of each class at both dates, in percent of those that are not ignored."""
    scheme = findings.scheme
    names = ["no change", "changed"] if scheme.is_binary else ["no change", *(c.name for c in scheme.land_covers)]
    totals = findings.pixels[:, :-1].sum(1).clip(min=1)
    for number, name in enumerate(names):
        shares = [f"{100 * findings.pixels[date, number] / totals[date]:8.3f} %" for date in (0, 1)]
        yield f"  {name:24}{shares[0] if scheme.is_binary else '  '.join(shares)}"
    ignored = int(findings.pixels[0, -1])
    if ignored:
        yield f"  {'ignored':24}{100 * ignored / max(1, int(findings.pixels[0].sum())):8.3f} % of all pixels"


def _list(title: str, lines: list[str], most: int | None) -> Iterator[str]:
    yield f"{title}: {len(lines) or 'none'}"
    yield from (f"  {line}" for line in islice(lines, most))
    if most is not None and len(lines) > most:
        yield f"  and {len(lines) - most} more (--all lists them)"


def _copy_line(copy: Copy) -> str:
    return f"{copy.first_split}/{copy.first} and {copy.second_split}/{copy.second}: {copy.how}"


def _conclude(findings: Findings) -> None:
    """Raise an `InputError` if something is wrong: the exit code tells scripts."""
    said = []
    if findings.problems:
        said.append(f"{len(findings.problems)} problems, which training would stop at")
    if findings.leaks:
        splits = sorted({f"{copy.first_split} into {copy.second_split}" for copy in findings.leaks})
        said.append(f"{len(findings.leaks)} leaks ({', '.join(splits)}): geofcs data convert --drop-leaks mends them")
    if said:
        raise InputError(f"{findings.folder}: {'; '.join(said)}")
