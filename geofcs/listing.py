"""Lists of pairs: read and checked whole, as data that may be another's."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from geofcs.errors import InputError
from geofcs.plan import DetectRequest
from geofcs.remote import Address, parse_address, stem_of
from geofcs.remote.address import ARCHIVES, WEB
from geofcs.remote.hosts import inner_address
from geofcs.scene.formats import may_be_named

NEEDED = ("t1", "t2")
COLUMNS = (*NEEDED, "out", "date_t1", "date_t2", "mask_t1", "mask_t2")
PATHS = ("t1", "t2", "mask_t1", "mask_t2")

MOST_PROBLEMS = 50
"""Problems of a list that are told; more than that have one cause."""


@dataclass(frozen=True)
class Row:
    """A line of the list and what it asks for."""

    line: int
    request: DetectRequest

    @property
    def name(self) -> str:
        """For people."""
        return f"line {self.line} ({self.request.out.name})"


def read_pairs(listing: Path, template: DetectRequest, outputs: Path | None) -> list[Row]:
    """The rows of a CSV file with the columns t1, t2 and, as one likes, `COLUMNS`; all else is the template's.

    A list is data, maybe another's: paths in it are paths, taken from the list's folder, and nothing in it is executed
    or expanded. It may name files in its folder, in buckets and on the public internet, and what the template's
    `allow_sources` add; outputs in its folder, or in `outputs`, where those lie that are not named. Raises `InputError`
    with all problems.
    """
    lines = _lines(listing)
    header, problems = lines[0][1], []
    for name in header:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, 1)
            meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(COLUMNS)}"
            problems.append(f"line {lines[0][0]}: column {name!r} is not known: {meant}")
    problems += [f"line {lines[0][0]}: column {name} is missing" for name in NEEDED if name not in header]
    refuse(listing, problems)
    rows: list[Row] = []
    for line, cells in lines[1:]:
        said = dict(zip(header, cells, strict=False))
        if len(cells) != len(header):
            problems.append(f"line {line}: has {len(cells)} cells where the first line has {len(header)}")
        elif not (said["t1"] and said["t2"]):
            problems.append(f"line {line}: t1 or t2 is empty")
        else:
            try:
                rows.append(Row(line, _request(said, template, listing.absolute().parent, outputs)))
            except InputError as error:
                problems.append(f"line {line}: {error}")
    problems += _clashes(rows)
    if not (rows or problems):
        problems.append("has no pairs below its first line")
    refuse(listing, problems)
    return rows


def _lines(listing: Path) -> list[tuple[int, list[str]]]:
    """The lines that are not empty, with their numbers, cells without the spaces around them."""
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{listing}: cannot be read as CSV in UTF-8 ({error})") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise InputError(f"{listing}: is empty: write a first line t1,t2 and a pair per line below")
    return lines


def _request(said: dict[str, str], template: DetectRequest, folder: Path, outputs: Path | None) -> DetectRequest:
    path = {name: _located(said[name], folder, template.scene.allow_sources) for name in PATHS if said.get(name)}
    default = f"{stem_of(said['t1'])}_{stem_of(said['t2'])}_change"
    scene = replace(
        template.scene,
        mask_t1=path.get("mask_t1", template.scene.mask_t1),
        mask_t2=path.get("mask_t2", template.scene.mask_t2),
    )
    return replace(
        template,
        t1=path["t1"],
        t2=path["t2"],
        out=_output(said["out"], folder, outputs) if said.get("out") else (outputs or folder).absolute() / default,
        date_t1=said.get("date_t1") or template.date_t1,
        date_t2=said.get("date_t2") or template.date_t2,
        scene=scene,
    )


def _located(text: str, folder: Path, sources: tuple[str, ...]) -> str:
    """A local path, from the list's folder; URLs as they are. Raises `InputError` for what a list may not name."""
    address = parse_address(text, tuple(ARCHIVES))
    if address.is_local and not address.archive:
        text = str(folder / text)
        address = parse_address(text)
    if may_be_named(address, folder, sources):
        return text
    if address.is_local:
        raise InputError(
            f"{address.shown}: lies outside the folder of the list: allow that with --allow-source "
            f"{Path(address.rest).parent}"
        )
    inner = inner_address(address.url) if address.scheme in WEB else None
    if inner is not None:
        server = f"{address.scheme}://{urlsplit(address.url).netloc.rpartition('@')[2]}"
        raise InputError(
            f"{address.shown}: lies in the network of this machine ({inner}), not on the public internet: allow that "
            f"with --allow-source {server}"
        )
    return text


def _output(text: str, folder: Path, outputs: Path | None) -> Path:
    """Where a list wants an output. Raises `InputError` where that is neither its folder nor that of outputs."""
    out = folder / text
    if not any(may_be_named(Address("", str(out)), each, ()) for each in (folder, outputs) if each is not None):
        raise InputError(f"{out}: lies outside the folder of the list: name the folder of outputs with -o {out.parent}")
    return out


def _clashes(rows: Sequence[Row]) -> list[str]:
    first: dict[Path, int] = {}
    clashes = []
    for row in rows:
        out = row.request.out.resolve()
        if out in first:
            clashes.append(f"line {row.line}: writes into the output of line {first[out]}, {out}: name them with out")
        first.setdefault(out, row.line)
    return clashes


def refuse(listing: Path, problems: list[str]) -> None:
    """Raise `InputError` with the problems of a list, if there are any."""
    if problems:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise InputError("\n".join([f"{listing}: nothing was run:", *problems[:MOST_PROBLEMS], *more]))
