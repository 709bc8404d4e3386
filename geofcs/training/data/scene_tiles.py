"""Tiles of labelled scenes, cut as they are read, and their division in blocks that train and blocks that validate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geofcs.classes import IGNORE, ClassScheme
from geofcs.errors import InputError
from geofcs.grid import Grid
from geofcs.scene import ScenePair
from geofcs.training.data.dates import DatesTruth
from geofcs.training.data.sample import Image, Sample
from geofcs.training.data.splits import VALIDATION_SHARE, order_of
from geofcs.training.data.truth import Truth, labels_in

FEWEST_BLOCKS, LARGEST_BLOCK = 25, 4
"""Blocks are up to four tiles a side, smaller where there would be fewer than this many."""

FEWEST_SCENES = 5
"""From so many scenes on, whole ones are held out."""

INVALID_COLOUR = (124, 116, 104)
"""What the model sees of pixels without data: the mean colour of its encoder's first training."""


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


def held_out(scenes: Sequence[LabelledScene], tile: int) -> tuple[list[TilePlace], list[TilePlace], str]:
    """Training and validation tiles."""
    if len(scenes) >= FEWEST_SCENES:
        order = sorted(range(len(scenes)), key=lambda number: order_of(scenes[number].name))
        chosen = set(order[: max(1, round(VALIDATION_SHARE * len(scenes)))])
        places = all_places(scenes, tile)
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


def all_places(scenes: Sequence[LabelledScene], tile: int) -> list[TilePlace]:
    return [
        place for number, scene in enumerate(scenes) for place in tile_places(number, scene.pair.grid, tile, scene.name)
    ]


def _starts(length: int, tile: int) -> list[int]:
    count = length // tile
    return [0] if count == 1 else [index * (length - tile) // (count - 1) for index in range(count)]


def _as_bytes(image: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Image:
    filled = np.where(valid, image, np.array(INVALID_COLOUR, np.float32)[:, None, None])
    return filled.round().astype(np.uint8)
