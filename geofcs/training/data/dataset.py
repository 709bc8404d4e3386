"""A dataset by its folder: the pairs that train, validate and test."""

from __future__ import annotations

from pathlib import Path

from geofcs.classes import ClassScheme
from geofcs.errors import InputError
from geofcs.training.data.layouts import MOST_PROBLEMS_SAID, Layout, find_layout, summed_up
from geofcs.training.data.pairs import FolderPairs
from geofcs.training.data.sample import Dataset
from geofcs.training.data.scenes import find_scenes, scene_dataset
from geofcs.training.data.splits import Files, split_layout


def open_dataset(
    folder: Path,
    scheme: ClassScheme | None = None,
    *,
    tile: int = 512,
    published: bool = False,
    keep_copies: bool = False,
) -> Dataset:
    """The pairs that a folder holds: image files in any known layout, or GeoTIFF scenes, cut into tiles of `tile`.

    Without `scheme` the classes are what the folder shows. `published` divides as the authors did. Raises `InputError`
    for folders without pairs, and for files that are missing: `geofcs data check` lists them all.
    """  # fmt: skip
    scenes = find_scenes(folder)
    if scenes:
        return scene_dataset(folder, scenes, scheme, tile)
    layout = find_layout(folder, scheme)
    _check_complete(layout)
    split = split_layout(layout, published=published, keep_copies=keep_copies)
    train, val, test = (_pairs(layout, files, published) for files in (split.train, split.val, split.test))
    return Dataset(folder, layout.kind, layout.scheme, train, val, test, split.notes)


def _pairs(layout: Layout, files: Files, published: bool) -> FolderPairs:
    """The published code counts what is outside the scene as unchanged."""
    return FolderPairs(files, layout.scheme, layout.white_is_outside and not published)


def _check_complete(layout: Layout) -> None:
    if not layout.problems:
        return
    said = summed_up(layout.problems)
    if len(layout.problems) > MOST_PROBLEMS_SAID:
        said += f": geofcs data check {layout.folder} lists them"
    raise InputError(said)


def dataset_folder(name: str | None, folder: Path | None) -> Path:
    """The folder of a dataset: the one given, or data/NAME. Raises `InputError` where there is none."""
    if folder is not None:
        return folder
    if name is None:
        raise InputError("say which pairs: --data FOLDER, or --dataset NAME for the folder data/NAME")
    usual = Path("data") / name
    if not usual.is_dir():
        raise InputError(f"{usual}: there is no such folder: say with --data where {name} lies")
    return usual
