"""Which labelled pairs a folder holds, found by looking at it: the published layouts, and a plain one of one's own.

A split folder (`train`, `val`, `test`), or the folder itself, holds one subfolder per part. The first pair of names
below that is there are the images, the next the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError
from geofcs.training.data.files import SPLIT_FOLDERS, WHOLE, PairFiles
from geofcs.training.data.images import SUFFIXES
from geofcs.training.data.label_classes import scheme_for, scheme_of_codes, scheme_of_colours
from geofcs.training.data.lists import LIST_FOLDERS, divided_by_lists

IMAGE_FOLDERS = (("im1", "im2"), ("T1", "T2"), ("A", "B"))
COVER_FOLDERS = (("label1", "label2"), ("GT_T1", "GT_T2"), ("labelA", "labelB"), ("labelA_rgb", "labelB_rgb"))
CHANGE_FOLDERS = ("GT_CD", "change")
SINGLE_FOLDERS = ("label", "labels")
"""One map for both dates: Landsat-SCD's from-to codes, or LEVIR-CD's 0 and 255."""

MOST_PROBLEMS_SAID = 3


@dataclass(frozen=True)
class Layout:
    """What a folder holds: pairs by split, its classes, and what is wrong with its files, a sentence each.

    `splits` has the keys that folders or lists named, of "train", "val", "test"; or only "" where nothing did.
    """

    folder: Path
    kind: str
    scheme: ClassScheme
    splits: Mapping[str, tuple[PairFiles, ...]]
    problems: tuple[str, ...] = ()

    @property
    def white_is_outside(self) -> bool:
        """Whether pixels white at both dates are outside the scene, as in Landsat-SCD."""
        return self.scheme == LANDSAT

    @property
    def pairs(self) -> int:
        """How many pairs there are, in all splits."""
        return sum(map(len, self.splits.values()))


@dataclass
class _Parts:
    """The subfolders of one split that hold the parts."""

    folder: Path
    images: tuple[str, str]
    covers: tuple[str, str] | None
    change: str | None
    single: str | None
    files: dict[str, dict[str, Path]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        labels = self.covers or tuple(each for each in (self.single,) if each)
        return " ".join((*self.images, *labels, *((self.change,) if self.change else ())))


def find_layout(folder: Path, scheme: ClassScheme | None = None) -> Layout:
    """The pairs in a folder. Without `scheme` the classes are those of classes.json, or what the labels show.

    Raises `InputError` where no layout is recognised or the classes cannot be told; files that are missing or left
    over are among the layout's problems.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    parts = _split_parts(folder)
    if not parts:
        raise InputError(
            f"{folder}: holds none of the known layouts: im1 im2 label1 label2, A B labelA labelB, A B label, or "
            "T1 T2 GT_T1 GT_T2 GT_CD, at its top or in train, val and test"
        )
    found = [_paired(split, each) for split, each in parts.items()]
    by_split = {split: pairs for split, pairs, _ in found}
    problems = [problem for _, _, said in found for problem in said]
    if not any(by_split.values()):
        raise InputError(f"{folder}: holds no complete pair: {summed_up(problems) or 'its folders are empty'}")
    scheme = scheme_for(folder, scheme) or _scheme_seen(folder, parts, by_split)
    by_split = {split: _with_single(pairs, parts[split], scheme) for split, pairs in by_split.items()}
    splits, said = divided_by_lists(folder, by_split)
    kind = next(iter(parts.values())).kind
    return Layout(folder, kind, scheme, splits, tuple(problems + said))


def summed_up(problems: Sequence[str]) -> str:
    """The first few of many problems, and how many more there are, in one line."""
    more = len(problems) - MOST_PROBLEMS_SAID
    return "; ".join([*problems[:MOST_PROBLEMS_SAID], *([f"and {more} more"] if more > 0 else [])])


def _split_parts(folder: Path) -> dict[str, _Parts]:
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            parts = _parts_in(folder / name)
            if parts:
                found[split] = parts
                break
    whole = None if found else _parts_in(folder)
    return {WHOLE: whole} if whole else found


def _parts_in(folder: Path) -> _Parts | None:
    """The subfolders that hold parts, None if there are no images or no labels."""
    there = {each.name for each in folder.iterdir() if each.is_dir()} if folder.is_dir() else set()
    images = next((names for names in IMAGE_FOLDERS if there.issuperset(names)), None)
    covers = next((names for names in COVER_FOLDERS if there.issuperset(names)), None)
    change = next((name for name in CHANGE_FOLDERS if name in there), None)
    single = None if covers else next((name for name in SINGLE_FOLDERS if name in there), None)
    if images is None or not (covers or change or single):
        return None
    return _Parts(folder, images, covers, change, single)


def _paired(split: str, parts: _Parts) -> tuple[str, tuple[PairFiles, ...], list[str]]:
    """The complete pairs of a split, and a sentence for each file without its counterparts."""
    names = [*parts.images, *(parts.covers or ()), *(each for each in (parts.change, parts.single) if each)]
    problems: list[str] = []
    for name in names:
        parts.files[name] = _images_in(parts.folder / name, problems)
    all_names = sorted(set().union(*parts.files.values()))
    pairs = []
    for name in all_names:
        missing = [part for part in names if name not in parts.files[part]]
        if missing:
            there = next(parts.files[part][name] for part in names if name in parts.files[part])
            problems.append(f"{there}: has no counterpart in {', '.join(missing)}")
            continue
        pairs.append(
            PairFiles(
                name,
                parts.files[parts.images[0]][name],
                parts.files[parts.images[1]][name],
                parts.files[parts.covers[0]][name] if parts.covers else None,
                parts.files[parts.covers[1]][name] if parts.covers else None,
                parts.files[parts.change][name] if parts.change else None,
            )
        )
    return split, tuple(pairs), problems


def _images_in(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The image files of a folder by stem."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            problems.append(f"{path}: {files[path.stem].name} has the same name but for its ending")
        files.setdefault(path.stem, path)
    return files


def _scheme_seen(folder: Path, parts: Mapping[str, _Parts], pairs: Mapping[str, tuple[PairFiles, ...]]) -> ClassScheme:
    """The scheme that names of folders and the values of a few labels speak for."""
    first = next(iter(parts.values()))
    if first.single is not None:
        return scheme_of_codes(list(first.files[first.single].values()))
    if first.covers is None:
        return BINARY
    coloured = scheme_of_colours(folder, [pair.cover_t1 for each in pairs.values() for pair in each if pair.cover_t1])
    if coloured is not None:
        return coloured
    if first.images == ("im1", "im2") or first.covers == ("GT_T1", "GT_T2"):
        return SECOND
    if any((folder / place / "train_list.txt").is_file() for place in LIST_FOLDERS):
        return LANDSAT
    raise InputError(f"{folder}: its labels are ids, which may be of any classes: say --classes second, or landsat")


def _with_single(pairs: tuple[PairFiles, ...], parts: _Parts, scheme: ClassScheme) -> tuple[PairFiles, ...]:
    """The pairs with their one label map as what the classes make of it."""
    if parts.single is None:
        return pairs
    files = parts.files[parts.single]
    part = "change" if scheme.is_binary else "from_to"
    if part == "from_to" and scheme != LANDSAT:
        raise InputError(
            f"{parts.folder / parts.single}: one label for both dates is Landsat-SCD's codes or a change map; the "
            f"classes of {scheme.name} need labelA and labelB"
        )
    return tuple(
        PairFiles(pair.name, pair.t1, pair.t2, change=files[pair.name])
        if part == "change"
        else PairFiles(pair.name, pair.t1, pair.t2, from_to=files[pair.name], change=pair.change)
        for pair in pairs
    )
