"""Whether training waits for its pairs: the recipes' loops with their loader, and with one batch that lies in memory.

    python examples/loading.py OUT/ [--recipe second|landsat ...] [--pairs 64] [--iterations 40] [--json FILE]
        [--set section.key=value ...]

Makes pairs as SECOND has them (512 x 512) and as Landsat-SCD has them (416 x 416) as PNG files, and runs the training
loop of `configs/second.yaml` and `configs/landsat.yaml` on each, random weights, past the iteration from which all
terms of the loss count. What workers keep ready is used up before anything is timed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from geofcs.classes import ClassScheme, scheme_named
from geofcs.training.batches import Batch
from geofcs.training.config import RunConfig, read_config, recipe_file
from geofcs.training.job import Job, job_of, launched
from geofcs.training.loading import PREFETCH
from geofcs.training.sets import sets_of
from geofcs.training.start import starting_model
from geofcs.training.step import iterate
from geofcs.training.train import Clock, batches_of
from geofcs.training.worlds import WINDOWS, Worlds

DATASETS = {"second": ("im1", "im2", "label1", "label2"), "landsat": ("A", "B", "labelA", "labelB")}
"""Folders of both dates' images and labels."""

VALIDATION_PAIRS = 4
WARM_UPS = 10


@dataclass(frozen=True)
class Loop:
    """Iterations per second of one recipe, how long it waited for batches, and batches per second of the loader alone.

    `waiting` is the share of the time with the loader in which the loop had no batch.
    """

    recipe: str
    device: str
    batch: int
    crop: int
    workers: int
    with_loader: float
    from_memory: float
    waiting: float
    loader_alone: float

    @property
    def ratio(self) -> float:
        """One with an ideal loader."""
        return self.with_loader / self.from_memory


def main(out: Path, recipes: list[str], pairs: int, iterations: int, settings: list[str], path: Path | None) -> None:
    """Make the pairs, run the loops, print."""
    make_pairs(out, recipes, pairs, settings)
    loops = []
    for name in recipes:
        config = read_config(recipe_file(name, None), [f"data.folder={out / name}", *settings])
        loops.append(looped(name, config, iterations))
    print("| recipe | device | batch, crop | iterations/s: loader | memory | ratio | waiting | loader alone |")
    print("|---|---|---|---|---|---|---|---|")
    for each in loops:
        print(
            f"| {each.recipe} | {each.device} | {each.batch}, {each.crop} | {each.with_loader:.2f} | "
            f"{each.from_memory:.2f} | {each.ratio:.3f} | {each.waiting:.1%} | {each.loader_alone:.1f} |"
        )
    if path is not None:
        path.write_text(json.dumps([{**asdict(each), "ratio": each.ratio} for each in loops], indent=1) + "\n")


@dataclass(frozen=True)
class Split:
    """Pairs of a dataset's split, and the folder that they are to lie in."""

    dataset: str
    folder: Path
    worlds: Worlds

    @property
    def worlds_of_pairs(self) -> Iterator[tuple[Split, range]]:
        """Its pairs by the worlds that they are cut from, each with this."""
        for first in range(0, len(self.worlds), WINDOWS):
            yield self, range(first, min(first + WINDOWS, len(self.worlds)))


def make_pairs(out: Path, recipes: list[str], pairs: int, settings: list[str]) -> None:
    """So many pairs to train on, and a few to validate on, of each recipe's crop, all made at once by all cores."""
    splits = [split for name in recipes for split in splits_of(out / name, name, pairs, settings)]
    for split in splits:
        for part in DATASETS[split.dataset]:
            (split.folder / part).mkdir(parents=True, exist_ok=True)
    work = [each for split in splits for each in split.worlds_of_pairs]
    count = min(os.cpu_count() or 1, len(work))
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as processes:
        list(processes.map(write_pairs, *zip(*work, strict=True)))


def splits_of(folder: Path, name: str, pairs: int, settings: list[str]) -> list[Split]:
    """Both splits of a dataset."""
    config = read_config(recipe_file(name, None), settings)
    return [
        Split(
            name,
            folder / split,
            Worlds(config.worlds, scheme_named(name), config.data.crop, config.train.seed, split, count),
        )
        for split, count in (("train", pairs), ("val", VALIDATION_PAIRS))
    ]


def write_pairs(split: Split, indices: range) -> None:
    """Some pairs of made-up worlds as PNG files, labels in the palette's colours."""
    palette = palette_of(split.worlds.scheme)
    for index in indices:
        sample = split.worlds[index]
        images = [image.transpose(1, 2, 0) for image in (sample.t1, sample.t2)]
        labels = [palette[label] for label in (sample.label1, sample.label2)]
        for part, pixels in zip(DATASETS[split.dataset], (*images, *labels), strict=True):
            Image.fromarray(np.ascontiguousarray(pixels)).save(split.folder / part / f"{index:05d}.png")


def palette_of(scheme: ClassScheme) -> np.ndarray:
    """Colours by class id; white is no change."""
    return np.array([(255, 255, 255), *(cover.colour for cover in scheme.land_covers)], np.uint8)


def looped(recipe: str, config: RunConfig, iterations: int) -> Loop:
    """The recipe's loop, timed."""
    first = max(config.loss.sek_from, config.train.warmup)
    kept = PREFETCH * config.data.workers + 1
    with launched(config, ended) as fabric:
        sets = sets_of(config)
        job = job_of(fabric, config, sets.classes, starting_model(config.model, sets.classes, config.train.seed).model)
        loader = batches_of(job, sets, first)
        memory = Clock(itertools.repeat(next(loader)))
        run(job, memory, first, WARM_UPS)
        from_memory, _ = run(job, memory, first, iterations)
        with_loader, waiting = with_the_loader(job, loader, first, kept, iterations)
        loader_alone = alone(loader, kept, iterations)
    return Loop(
        recipe, str(job.device), config.train.batch, config.data.crop, config.data.workers,
        with_loader, from_memory, waiting, loader_alone,
    )  # fmt: skip


def ended(sentence: str | None, exit_code: int) -> NoReturn:
    """Where one of several processes is gone; here there is one."""
    raise SystemExit(sentence or exit_code)


def with_the_loader(job: Job, loader: Iterator[Batch], first: int, kept: int, iterations: int) -> tuple[float, float]:
    """Iterations per second and the share of waiting once all batches that were kept ready are used up."""
    clock = Clock(loader)
    run(job, clock, first, kept)
    return run(job, clock, first, iterations)


def run(job: Job, clock: Clock, first: int, iterations: int) -> tuple[float, float]:
    """Iterations per second, and the share of the time spent waiting for batches."""
    clock.taken(1)
    for iteration in range(first, first + iterations):
        iterate(job, clock, iteration, stop=False)
    seconds, waiting = clock.taken(iterations)
    return 1 / seconds, waiting


def alone(loader: Iterator[Batch], kept: int, iterations: int) -> float:
    """Batches per second that the loader gives when nobody works on them, those kept ready left out."""
    for _ in range(kept):
        next(loader)
    start = time.perf_counter()
    for _ in range(iterations):
        next(loader)
    return iterations / (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", action="append", choices=list(DATASETS), dest="recipes")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    main(asked.out, asked.recipes or list(DATASETS), asked.pairs, asked.iterations, asked.settings, asked.json)
