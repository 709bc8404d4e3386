"""Labelled GeoTIFF scene pairs, cut into tiles on the fly and divided in blocks of tiles that share no pixel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geofcs.classes import IGNORE, ClassScheme
from geofcs.errors import InputError
from geofcs.grid import Grid
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.training.data.dates import DatesTruth, plan_dates
from geofcs.training.data.files import SPLIT_FOLDERS, WHOLE
from geofcs.training.data.label_classes import scheme_for
from geofcs.training.data.sample import Dataset, Image, Sample
from geofcs.training.data.splits import VALIDATION_SHARE, order_of
from geofcs.training.data.truth import VECTOR_SUFFIXES, Truth, labels_in, plan_truth

IMAGE_NAMES = (("t1.tif", "t2.tif"), ("t1.tiff", "t2.tiff"))
DATE_NAMES = (("label1.tif", "label2.tif"), ("labelA.tif", "labelB.tif"))
"""Class ids per date."""

TRUTH_NAMES = ("change.tif", "truth.tif", "label.tif", "changes.gpkg", "truth.gpkg", "labels.gpkg")

FEWEST_BLOCKS, LARGEST_BLOCK = 25, 4
"""Blocks are up to four tiles a side, smaller where there would be fewer than this many."""

FEWEST_SCENES = 5
"""From so many scenes on, whole ones are held out."""

INVALID_COLOUR = (124, 116, 104)
"""What the model sees of pixels without data: the mean colour of its encoder's first training."""


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


@dataclass(frozen=True)
class LabelledScene:
    """A scene pair planned, with its truth on the same grid."""

    name: str
    pair: ScenePair
    truth: Truth | DatesTruth


@dataclass(frozen=True)
class TilePlace:
    """A tile: which scene, and its first row and column."""

    scene: int
    row: int
    col: int


@dataclass(frozen=True)
class SceneTiles:
    """Tiles of `tile` pixels a side as labelled pairs; where a scene is invalid, labels are ignored."""

    scenes: tuple[LabelledScene, ...]
    places: tuple[TilePlace, ...]
    tile: int
    scheme: ClassScheme

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Read one tile; raises `SourceError` and `InputError`."""
        place = self.places[index]
        scene = self.scenes[place.scene]
        window = Window(place.col, place.row, self.tile, self.tile)
        with scene.pair.open() as reader, scene.truth.open() as truth:
            pixels, codes = reader.read(window), truth.read(window)
        labels = labels_in(codes, self.scheme)
        for label in labels:
            label[~pixels.valid] = IGNORE
        t1, t2 = (_as_bytes(image, pixels.valid) for image in (pixels.t1, pixels.t2))
        return Sample(t1, t2, *labels, f"{scene.name}_{place.row}_{place.col}")


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
    places = {"train": _all_places(train, tile)}
    held = planned.get("val", [])
    places["val"] = _all_places(held, tile)
    if train and not held:
        places["train"], places["val"], note = _held_out(train, tile)
        held = train
        notes.append(note)
    test = planned.get("test", [])
    places["test"] = _all_places(test, tile)
    sets = {
        split: SceneTiles(tuple(scenes), tuple(places[split]), tile, classes)
        for split, scenes in (("train", train), ("val", held), ("test", test))
    }
    return Dataset(folder, "scenes", classes, sets["train"], sets["val"], sets["test"], tuple(notes))


def tile_places(scene: int, grid: Grid, tile: int, name: str) -> list[TilePlace]:
    """As many tiles as fit without overlap, spread evenly. Raises `InputError` for a scene smaller than one."""
    if min(grid.shape) < tile:
        raise InputError(
            f"{name}: has {grid.height} x {grid.width} pixels, less than a tile of {tile}: use smaller ones"
        )
    rows, cols = _starts(grid.height, tile), _starts(grid.width, tile)
    return [TilePlace(scene, row, col) for row, col in itertools.product(rows, cols)]


def blocks_of(grid: Grid, tile: int) -> int:
    """How many tiles a side make a block."""
    tiles = (grid.height // tile) * (grid.width // tile)
    return max(1, min(LARGEST_BLOCK, math.isqrt(tiles // FEWEST_BLOCKS)))


def _held_out(scenes: Sequence[LabelledScene], tile: int) -> tuple[list[TilePlace], list[TilePlace], str]:
    """Training and validation tiles."""
    if len(scenes) >= FEWEST_SCENES:
        order = sorted(range(len(scenes)), key=lambda number: order_of(scenes[number].name))
        chosen = set(order[: max(1, round(VALIDATION_SHARE * len(scenes)))])
        places = _all_places(scenes, tile)
        train = [place for place in places if place.scene not in chosen]
        val = [place for place in places if place.scene in chosen]
        return train, val, f"validation: {len(chosen)} of {len(scenes)} scenes held out"
    train, val = [], []
    for number, scene in enumerate(scenes):
        parts = _divided(number, scene, tile)
        train += parts[0]
        val += parts[1]
    return train, val, f"validation: {len(val)} of {len(train) + len(val)} tiles held out, in blocks"


def _divided(number: int, scene: LabelledScene, tile: int) -> tuple[list[TilePlace], list[TilePlace]]:
    """The tiles of one scene: those of every fifth block, in a shuffled order, validate."""
    places, side = tile_places(number, scene.pair.grid, tile, scene.name), blocks_of(scene.pair.grid, tile)
    rows, cols = sorted({place.row for place in places}), sorted({place.col for place in places})
    block = {place: (rows.index(place.row) // side, cols.index(place.col) // side) for place in places}
    order = sorted(set(block.values()), key=lambda each: order_of(f"{scene.name}/{each[0]}/{each[1]}"))
    chosen = set(order[: round(VALIDATION_SHARE * len(order)) or (1 if len(order) > 1 else 0)])
    train = [place for place in places if block[place] not in chosen]
    return train, [place for place in places if block[place] in chosen]


def _all_places(scenes: Sequence[LabelledScene], tile: int) -> list[TilePlace]:
    return [
        place for number, scene in enumerate(scenes) for place in tile_places(number, scene.pair.grid, tile, scene.name)
    ]


def _starts(length: int, tile: int) -> list[int]:
    count = length // tile
    return [0] if count == 1 else [index * (length - tile) // (count - 1) for index in range(count)]


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


def _as_bytes(image: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Image:
    filled = np.where(valid, image, np.array(INVALID_COLOUR, np.float32)[:, None, None])
    return filled.round().astype(np.uint8)
