"""Labelled pairs from worlds that are made up on the spot, each of another seed, resolution, season and sensor."""

from __future__ import annotations

import atexit
import math
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import psutil

from geofcs.classes import LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError
from geofcs.synthetic import Nuisances, SceneParameters, scene_pixels
from geofcs.synthetic.noise import key_of, smooth
from geofcs.training.config import WorldsConfig
from geofcs.training.data import Pairs, Sample

Pixels = npt.NDArray[np.uint8]

COARSE_AS_SECOND = np.array([0, 1, 2, 5, 4], np.uint8)
"""Ids of SECOND that those of Landsat-SCD's worlds mean: farmland low vegetation, desert ground, building, water."""

FINEST_COARSE_GSD = 8.0
"""Metres a pixel from which on worlds of regions look like something."""

POINTS_FROM_GSD = 2.2
"""Metres a pixel from which on two points a side are averaged: half of what the scenes of `geofcs synth` take."""

WINDOWS = 4
"""Neighbouring pairs that are cut from one world before the next is painted, which takes longer than they do."""

FARTHEST = 1 << 20
"""Pixels from a world's origin within which a window is cut."""

ENDLESS = 1 << 40
"""The length of a set that never repeats a pair."""

KEPT = "geofcs-worlds"
"""What folders of kept pairs are called, before the number of the process that they serve."""


@dataclass(frozen=True)
class Worlds:
    """Pairs of `size` pixels a side: pair i follows from `seed`, `name` and i alone. Without `pairs` there is no end.

    Sets of different names share no world.
    """

    config: WorldsConfig
    scheme: ClassScheme
    size: int
    seed: int
    name: str
    pairs: int | None

    def __post_init__(self) -> None:
        if self.scheme not in (SECOND, LANDSAT):
            raise InputError(f"worlds cannot be labelled in {self.scheme.name!r}; use second or landsat")

    def __len__(self) -> int:
        return ENDLESS if self.pairs is None else self.pairs

    def __getitem__(self, index: int) -> Sample:
        """The pair of that index."""
        world, corner = divmod(index, WINDOWS)
        dice = Random(key_of(self.seed, "worlds", self.name, world))
        parameters = drawn(self.config, self.scheme, dice)
        row = dice.randrange(FARTHEST) + corner // 2 * self.size
        col = dice.randrange(FARTHEST) + corner % 2 * self.size
        pixels = scene_pixels(parameters, row, col, self.size, self.size)
        covers = pixels.land_cover_t1, pixels.land_cover_t2
        if parameters.scheme == LANDSAT and self.scheme == SECOND:  # not "is": a process that reads pairs has its own
            covers = COARSE_AS_SECOND[covers[0]], COARSE_AS_SECOND[covers[1]]
        change = (pixels.codes > 0).astype(np.uint8)
        tones = Random(key_of(self.seed, "tones", self.name, index))
        t1, t2 = _recoloured((pixels.t1, pixels.t2), covers, self.config.recolour, tones)
        return Sample(t1, t2, change, covers[0] * change, covers[1] * change, f"{self.name}-{index}")


@dataclass(frozen=True)
class Remembered:
    """Pairs that are made up once for all processes that read them: each lies in a folder then, 9 bytes a pixel."""

    pairs: Pairs
    folder: Path

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """The pair of that index."""
        path = self.folder / f"{index}.npz"
        if path.exists():
            with np.load(path) as kept:
                t1, t2, change, label1, label2 = (kept[name] for name in Sample._fields[:-1])
                return Sample(t1, t2, change, label1, label2, str(kept["name"]))
        sample = self.pairs[index]
        with suppress(OSError):  # without room for it, it is made up again next time
            _keep(sample, path)
        return sample


def _keep(sample: Sample, path: Path) -> None:
    """Write a pair as another process may read it at the same moment: all at once, by rename."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        np.savez(unfinished, **sample._asdict())
        unfinished.replace(path)


def remembered(pairs: Pairs) -> Remembered:
    """The same pairs, kept among the system's temporary files until this process ends.

    What processes that were killed have left there is cleared.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{KEPT}-*-*"):
        _, owner, _ = folder.name.removeprefix(KEPT).split("-", 2)
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{KEPT}-{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Remembered(pairs, folder)


def drawn(config: WorldsConfig, scheme: ClassScheme, dice: Random) -> SceneParameters:
    """The parameters of one world: resolution and amount of change log-uniform, images more or less alike.

    How strong nuisances may be is drawn for the world, how strong each is up to that.
    """
    low, high = config.gsd
    coarse = scheme == LANDSAT or (high > FINEST_COARSE_GSD and dice.random() < config.coarse)
    low, high = (max(low, FINEST_COARSE_GSD), high) if coarse else (low, min(high, config.fine_to))
    gsd = _log_uniform(dice, low, max(low, high))
    weakest, strongest = config.nuisances
    strongest = dice.uniform(weakest, strongest)
    return SceneParameters(
        seed=dice.getrandbits(62),
        scheme=LANDSAT if coarse else SECOND,
        gsd=_shared(gsd),
        samples=1 if gsd < POINTS_FROM_GSD else 2,
        change=_log_uniform(dice, *config.change),
        nuisances=Nuisances(*(dice.uniform(weakest, strongest) for _ in range(7))),
    )


def _log_uniform(dice: Random, low: float, high: float) -> float:
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def _shared(gsd: float) -> float:
    """The nearest of four sizes an octave, so that few tiles of tree crowns serve many worlds."""
    return float(2 ** (round(4 * math.log2(gsd)) / 4))


def _recoloured(
    images: tuple[Pixels, Pixels], covers: tuple[Pixels, Pixels], strength: float, dice: Random
) -> tuple[Pixels, Pixels]:
    """Both images with each class in a tone and a coarse texture of its own, the same at both dates.

    Palettes of the painters are few; land of one class looks different from country to country.
    """
    if strength == 0:
        return images
    tints = [
        np.array([dice.gauss(0, 0.16) for _ in range(3)], np.float32) * strength + dice.gauss(0, 0.14) * strength
        for _ in range(8)
    ]
    cell, depth = 2 ** dice.uniform(1.5, 5), dice.uniform(0, 0.12) * strength
    along = np.arange(images[0].shape[-1], dtype=np.float64)
    texture = smooth(dice.getrandbits(60), along, along, cell) * np.float32(depth)
    tones = np.exp(np.stack(tints)).astype(np.float32)
    factors = (tones[cover].transpose(2, 0, 1) * (1 + texture) for cover in covers)
    first, second = (
        np.clip(image * factor, 0, 255).astype(np.uint8) for image, factor in zip(images, factors, strict=True)
    )
    return first, second
