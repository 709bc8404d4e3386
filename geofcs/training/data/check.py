"""Everything that is to be known of a dataset before training: what it holds, what is wrong, what leaks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.classes import IGNORE, NO_CHANGE, ClassScheme
from geofcs.errors import GeofcsError
from geofcs.training.data.copies import LEFT_OUT, Copy, how_alike
from geofcs.training.data.files import PairFiles
from geofcs.training.data.layouts import Layout
from geofcs.training.data.likeness import Fingerprint, alike, fingerprint
from geofcs.training.data.pairs import FolderPairs, read_parts
from geofcs.training.data.sample import Image, Pairs, Sample
from geofcs.training.data.splits import split_layout

PIECE = 256
"""Pairs looked at before progress is told."""


@dataclass(frozen=True)
class Looked:
    """What was seen of one pair; `fingerprint` is None where an image cannot be read."""

    split: str
    name: str
    size: tuple[int, int] | None
    pixels: npt.NDArray[np.int64]
    problems: tuple[str, ...]
    fingerprint: Fingerprint | None


@dataclass(frozen=True)
class Findings:
    """A dataset looked through: pairs by split, image sizes, changed pixels per class and date, problems, copies.

    `pixels` are (2, K + 1) counts per date: of the classes 0 to K - 1, and of ignored pixels.
    """

    folder: Path
    kind: str
    scheme: ClassScheme
    counts: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    pixels: npt.NDArray[np.int64]
    problems: tuple[str, ...]
    copies: tuple[Copy, ...]
    notes: tuple[str, ...]

    @property
    def leaks(self) -> tuple[Copy, ...]:
        """Copies across splits."""
        return tuple(copy for copy in self.copies if copy.leaks)


def check_layout(layout: Layout, progress: Callable[[int], None] = lambda _pairs: None) -> Findings:
    """Look through every pair of a folder of images; `progress` is told of pairs done."""
    split = split_layout(layout)
    assigned = {
        id(files): name
        for name, pairs in (("train", split.train), ("val", split.val), ("test", split.test))
        for files in pairs
    }
    pairs = [files for each in layout.splits.values() for files in each]
    unique = list({id(files): files for files in pairs}.values())

    def look(files: PairFiles) -> Looked:
        return _look_at_files(files, assigned.get(id(files), LEFT_OUT), layout)

    looked = list(_in_threads(look, unique, progress))

    def read(number: int) -> Sample:
        return FolderPairs((unique[number],), layout.scheme, layout.white_is_outside)[0]

    findings = _summed(layout.folder, layout.kind, layout.scheme, looked, split.notes, read)
    return _with_problems(findings, layout.problems)


def check_sets(
    folder: Path,
    kind: str,
    scheme: ClassScheme,
    sets: Mapping[str, Pairs],
    notes: Sequence[str],
    progress: Callable[[int], None] = lambda _pairs: None,
) -> Findings:
    """The same for sets that are no image files: tiles of scenes."""
    places = [(split, pairs, index) for split, pairs in sets.items() for index in range(len(pairs))]

    def look(place: tuple[str, Pairs, int]) -> Looked:
        return _look_at_sample(*place, scheme)

    looked = list(_in_threads(look, places, progress))
    return _summed(folder, kind, scheme, looked, notes, lambda number: places[number][1][places[number][2]])


def disagreement(change: Image, label1: Image, label2: Image, derived: bool) -> str | None:
    """Where labels contradict each other on what changed, in words; None where they do not.

    `derived` says that the change map was made of the dates' labels, which then have to agree on where 0 is.
    """
    known = (change != IGNORE) & (label1 != IGNORE) & (label2 != IGNORE)
    none1, none2 = label1 == NO_CHANGE, label2 == NO_CHANGE
    if derived:
        cases = {"have a class at one date and no change at the other": none1 != none2}
    else:
        cases = {
            "are changed by the change map and have no class at a date": (change == 1) & (none1 | none2),
            "are unchanged by the change map and have a class at a date": (change == 0) & ~(none1 & none2),
        }
    said = [_counted_pixels(known & wrong, what) for what, wrong in cases.items() if (known & wrong).any()]
    return "; ".join(said) or None


def _counted_pixels(wrong: npt.NDArray[np.bool_], what: str) -> str:
    row, col = (int(each) for each in np.unravel_index(int(wrong.argmax()), wrong.shape))
    return f"{int(wrong.sum())} pixels {what}, the first at row {row}, column {col}"


def _look_at_files(files: PairFiles, split: str, layout: Layout) -> Looked:
    parts, problems = read_parts(files, layout.scheme, layout.white_is_outside)
    if parts is None:
        return Looked(split, files.name, None, _no_pixels(layout.scheme), tuple(problems), None)
    contradiction = None
    if not layout.scheme.is_binary and not problems:
        contradiction = disagreement(parts.change, parts.label1, parts.label2, derived=files.change is None)
    if contradiction:
        problems.append(f"{files.labels[0]}: {contradiction}")
    return _looked(parts, split, layout.scheme, problems)


def _look_at_sample(split: str, pairs: Pairs, index: int, scheme: ClassScheme) -> Looked:
    try:
        return _looked(pairs[index], split, scheme, [])
    except GeofcsError as error:
        return Looked(split, f"{split} {index}", None, _no_pixels(scheme), (str(error),), None)


def _looked(sample: Sample, split: str, scheme: ClassScheme, problems: list[str]) -> Looked:
    height, width = sample.change.shape
    return Looked(
        split, sample.name, (height, width), _counted(sample, scheme), tuple(problems),
        fingerprint(sample.t1, sample.t2),
    )  # fmt: skip


def _counted(sample: Sample, scheme: ClassScheme) -> npt.NDArray[np.int64]:
    """(2, K + 1) pixels of each class at each date, and ignored; of a binary scheme unchanged, changed, ignored."""
    last = _classes(scheme)
    labels = (sample.change, sample.change) if scheme.is_binary else (sample.label1, sample.label2)
    return np.stack([np.bincount(np.minimum(each, last).ravel(), minlength=last + 1) for each in labels])


def _no_pixels(scheme: ClassScheme) -> npt.NDArray[np.int64]:
    return np.zeros((2, _classes(scheme) + 1), np.int64)


def _classes(scheme: ClassScheme) -> int:
    return 2 if scheme.is_binary else scheme.count


def _summed(
    folder: Path,
    kind: str,
    scheme: ClassScheme,
    looked: Sequence[Looked],
    notes: Sequence[str],
    read: Callable[[int], Sample],
) -> Findings:
    """The findings of all pairs together; `read` gives a pair's pixels once more, to say how two are alike."""
    seen = [number for number, each in enumerate(looked) if each.fingerprint is not None]
    prints = [each.fingerprint for each in looked if each.fingerprint is not None]
    copies = []
    for like in alike(prints):
        first, second = seen[like.first], seen[like.second]
        how = how_alike(read(first), read(second), like)
        copies.append(Copy(looked[first].name, looked[first].split, looked[second].name, looked[second].split, how))
    return Findings(
        folder=folder,
        kind=kind,
        scheme=scheme,
        counts=Counter(each.split for each in looked),
        sizes=Counter(each.size for each in looked if each.size is not None),
        pixels=sum((each.pixels for each in looked), _no_pixels(scheme)),
        problems=tuple(problem for each in looked for problem in each.problems),
        copies=tuple(copies),
        notes=tuple(notes),
    )


def _with_problems(findings: Findings, problems: Sequence[str]) -> Findings:
    return Findings(**{**vars(findings), "problems": (*problems, *findings.problems)})


def _in_threads(
    look: Callable[[Any], Looked], items: Sequence[Any], progress: Callable[[int], None]
) -> Iterator[Looked]:
    """What `look` says of each item, in order; decoding runs beside it in as many threads as there are cores."""
    with ThreadPoolExecutor(os.cpu_count() or 1, "geofcs-check") as pool:
        for start in range(0, len(items), PIECE):
            for each in pool.map(look, items[start : start + PIECE]):
                progress(1)
                yield each
