"""Labelled GeoTIFF scene pairs of a folder, found by their names and planned, as a dataset of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofcs.classes import ClassScheme
from geofcs.errors import InputError
from geofcs.scene import SceneOptions, plan_pair
from geofcs.training.data.dates import plan_dates
from geofcs.training.data.files import SPLIT_FOLDERS, WHOLE
from geofcs.training.data.label_classes import scheme_for
from geofcs.training.data.polygons import VECTOR_SUFFIXES
from geofcs.training.data.sample import Dataset
from geofcs.training.data.scene_tiles import LabelledScene, SceneTiles, all_places, held_out, tile_places
from geofcs.training.data.truth import plan_truth

IMAGE_NAMES = (("t1.tif", "t2.tif"), ("t1.tiff", "t2.tiff"))
DATE_NAMES = (("label1.tif", "label2.tif"), ("labelA.tif", "labelB.tif"))
"""Class ids per date."""

TRUTH_NAMES = ("change.tif", "truth.tif", "label.tif", "changes.gpkg", "truth.gpkg", "labels.gpkg")


@dataclass(frozen=True)
class SceneFiles:
    """The files of one labelled scene pair; two files of truth are the ids of either date, none is a mistake."""

    folder: Path
    t1: Path
    t2: Path
    truth: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What its tiles are called after."""
        return self.folder.name


def find_scenes(folder: Path) -> dict[str, list[SceneFiles]]:
    """The labelled scene pairs under a folder by split; {} where it holds none.

    A scene is a folder with t1.tif, t2.tif and a truth: the folder itself, or one in it or in its train, val, test.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder")
    found: dict[str, list[SceneFiles]] = {}
    places = [(split, folder / name) for split, names in SPLIT_FOLDERS.items() for name in names]
    for split, place in (*places, (WHOLE, folder)):
        if found and split == WHOLE:
            break
        scenes = [scene for each in (place, *_subfolders(place)) if (scene := _scene_in(each))]
        if scenes:
            found[split] = scenes
    return found


def scene_dataset(folder: Path, files: dict[str, list[SceneFiles]], scheme: ClassScheme | None, tile: int) -> Dataset:
    """The scenes of a folder as a dataset; validation is held out by scene, or in blocks of tiles of few scenes."""
    scheme = scheme_for(folder, scheme)
    planned = _all_planned(files, scheme, tile)
    everything = [scene for scenes in planned.values() for scene in scenes]
    classes = _common_scheme(folder, everything)
    train, notes = planned.get("train", []) + planned.get(WHOLE, []), []
    places = {"train": all_places(train, tile)}
    held = planned.get("val", [])
    places["val"] = all_places(held, tile)
    if train and not held:
        places["train"], places["val"], note = held_out(train, tile)
        held = train
        notes.append(note)
    test = planned.get("test", [])
    places["test"] = all_places(test, tile)
    sets = {
        split: SceneTiles(tuple(scenes), tuple(places[split]), tile, classes)
        for split, scenes in (("train", train), ("val", held), ("test", test))
    }
    return Dataset(folder, "scenes", classes, sets["train"], sets["val"], sets["test"], tuple(notes))


def _scene_in(folder: Path) -> SceneFiles | None:
    for first, second in IMAGE_NAMES:
        if (folder / first).is_file() and (folder / second).is_file():
            return SceneFiles(folder, folder / first, folder / second, _truth_in(folder))
    return None


def _truth_in(folder: Path) -> tuple[Path, ...]:
    for names in DATE_NAMES:
        if all((folder / name).is_file() for name in names):
            return tuple(folder / name for name in names)
    named = [folder / name for name in TRUTH_NAMES if (folder / name).is_file()]
    vectors = sorted(path for path in folder.iterdir() if path.suffix.lower() in VECTOR_SUFFIXES)
    return tuple((named or (vectors if len(vectors) == 1 else []))[:1])


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(each for each in folder.iterdir() if each.is_dir())


def _all_planned(
    files: Mapping[str, Sequence[SceneFiles]], scheme: ClassScheme | None, tile: int
) -> dict[str, list[LabelledScene]]:
    """Every scene planned; raises one `InputError` on all that cannot be."""
    planned: dict[str, list[LabelledScene]] = {split: [] for split in files}
    problems = []
    for split, scenes in files.items():
        for each in scenes:
            try:
                scene = _planned(each, scheme)
                tile_places(0, scene.pair.grid, tile, scene.name)
                planned[split].append(scene)
            except InputError as error:
                problems.append(str(error))
    if problems:
        raise InputError("; ".join(problems))
    return planned


def _planned(files: SceneFiles, scheme: ClassScheme | None) -> LabelledScene:
    if not files.truth:
        raise InputError(
            f"{files.folder}: has t1.tif and t2.tif but no truth: add change.tif, or label1.tif and label2.tif, or one "
            "file of labelled polygons"
        )
    pair = plan_pair(str(files.t1), str(files.t2), SceneOptions(assume_aligned=True))
    if len(files.truth) == 2:
        dates = plan_dates((files.truth[0], files.truth[1]), pair.grid, scheme, str(files.t1))
        return LabelledScene(files.name, pair, dates)
    return LabelledScene(files.name, pair, plan_truth(files.truth[0], pair.grid, scheme, scene=str(files.t1)))


def _common_scheme(folder: Path, scenes: Sequence[LabelledScene]) -> ClassScheme:
    schemes = {scene.truth.scheme.name: scene.truth.scheme for scene in scenes}
    if len(schemes) > 1:
        raise InputError(f"{folder}: its scenes are labelled in different classes: {', '.join(schemes)}")
    return next(iter(schemes.values()))
