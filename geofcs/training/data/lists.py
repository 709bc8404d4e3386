"""Lists of names that divide a folder's pairs into splits, as the published datasets have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from geofcs.errors import InputError
from geofcs.training.data.files import SPLIT_FOLDERS, WHOLE, PairFiles
from geofcs.training.data.images import SUFFIXES

LISTS = {
    split: tuple(f"{name}{end}.txt" for end in ("", "_list", "_info") for name in names)
    for split, names in SPLIT_FOLDERS.items()
}
LIST_FOLDERS = ("", "list", "lists", "datasets/SECOND")


def divided_by_lists(
    folder: Path, found: Mapping[str, tuple[PairFiles, ...]]
) -> tuple[dict[str, tuple[PairFiles, ...]], list[str]]:
    """The pairs as the name lists divide them; without lists as they are."""
    lists = {split: path for split in SPLIT_FOLDERS if (path := _list_of(folder, split)) is not None}
    if not lists:
        return dict(found), []
    splits, problems = dict(found), []
    for split, path in lists.items():
        pairs, missing = _chosen(_names_in(path), split, found)
        splits[split] = pairs
        problems += [f"{path}: names {name}, which is not there" for name in missing]
    listed = {id(pair) for split in lists for pair in splits[split]}
    for split in [each for each in splits if each not in lists]:
        splits[split] = tuple(pair for pair in splits[split] if id(pair) not in listed)
    if "val" in lists and "train" not in lists and "train" in found:
        splits["train"] = tuple(pair for pair in found["train"] if id(pair) not in listed)
    left = splits.pop(WHOLE, ())
    if left:
        problems.append(f"{folder}: {len(left)} pairs are in no list and are left out, such as {left[0].name}")
    return splits, problems


def _list_of(folder: Path, split: str) -> Path | None:
    for place in (*LIST_FOLDERS, "train"):
        for name in LISTS[split]:
            if (folder / place / name).is_file():
                return folder / place / name
    return None


def _names_in(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of names: {error}") from error
    return [_stem(line.split()[0]) for line in lines if line.strip()]


def _stem(name: str) -> str:
    """A name without folder and image endings; published lists have .png, some of them twice."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    while Path(name).suffix.lower() in SUFFIXES:
        name = Path(name).stem
    return name


def _chosen(
    names: Iterable[str], split: str, found: Mapping[str, tuple[PairFiles, ...]]
) -> tuple[tuple[PairFiles, ...], list[str]]:
    """The pairs of these names, in the list's order, each once, from the split's own folder if it has one."""
    where = {name: pair for each in _places(split, found) for pair in reversed(each) for name in [pair.name]}
    unique = list(dict.fromkeys(names))
    return tuple(where[name] for name in unique if name in where), [name for name in unique if name not in where]


def _places(split: str, found: Mapping[str, tuple[PairFiles, ...]]) -> Iterator[tuple[PairFiles, ...]]:
    """Where to look, the last first choice: SECOND's validation list names pairs of its training folder."""
    if split in found:
        yield found[split]
    elif split == "val" and "train" in found:
        yield found["train"]
    elif WHOLE in found:
        yield found[WHOLE]
