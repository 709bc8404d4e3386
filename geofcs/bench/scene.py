"""Times a whole run around a model that costs nothing, against a bare pass of GDAL over the same files."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from rasterio.windows import Window

from geofcs.bench.bare_pass import SCENES, bare_pass
from geofcs.bench.costless import CostlessSource
from geofcs.bench.setting import sizes_of
from geofcs.bench.timing import Note
from geofcs.classes import SECOND
from geofcs.detect import computed_at
from geofcs.journal import Journal
from geofcs.listener import Listener, never
from geofcs.lock import locked
from geofcs.model.build import build
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest, make_plan
from geofcs.run import Clock, Run, carry_out
from geofcs.schedule import ThisMachine

WEIGHTS = "pico.safetensors"
TILE = 512
GRAIN = 16
"""Pixels a side of the patches that made-up scenes consist of, under noise of four bits."""


@dataclass(frozen=True)
class Used:
    """What a fresh process took: seconds from its start to its end, seconds of cores, and the most memory.

    Memory is of one process; where it has others work for it, of the one that needed most.
    """

    seconds: float
    core_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class SceneTimes:
    """A whole `detect` and a bare pass over one pair of `size` x `size` pixels, with `workers` threads each.

    `stages` are the seconds of the run's stages, `steps` those of the bare pass.
    """

    size: int
    workers: int
    polygons: int
    detect: Used
    stages: dict[str, float]
    bare: Used
    steps: dict[str, float]

    @property
    def ratio(self) -> float:
        """The run's time over that of the bare pass's steps."""
        return self.detect.seconds / sum(self.steps.values())

    @property
    def core_seconds_per_100_megapixels(self) -> float:
        """What everything outside the model takes."""
        return self.detect.core_seconds / (self.size**2 / 1e8)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the ratios."""
        return {
            **asdict(self),
            "over_bare": self.ratio,
            "core_seconds_per_100_megapixels": self.core_seconds_per_100_megapixels,
        }


def time_scene(size: int, workers: int, note: Note) -> SceneTimes:
    """Make a pair, run `detect` on it and then the bare pass, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="geofcs-bench-") as name:
        folder = Path(name)
        note(f"a pair of {size} x {size} pixels is made")
        _make_pair(folder, size, workers)
        note(f"detect, {size} x {size}")
        run, detect = _in_a_fresh_process(_detect, folder, workers)
        note(f"bare pass, {size} x {size}")
        (folder / "bare").mkdir()
        steps, bare = _in_a_fresh_process(bare_pass, folder, folder / "out", folder / "bare", workers)
    return SceneTimes(size, workers, run["counts"]["polygons"], detect, run["seconds"], bare, steps)


def _make_pair(folder: Path, size: int, threads: int) -> None:
    """Two scenes of three bands, deflate, and weights."""
    for seed, name in enumerate(SCENES):
        random = np.random.default_rng(seed)
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=3, dtype="uint8", height=size, width=size, crs="EPSG:32631",
            transform=rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000), tiled=True, compress="deflate",
            interleave="pixel", num_threads=threads,
        ) as file:  # fmt: skip
            for top in range(0, size, TILE):
                height = min(TILE, size - top)
                file.write(_noise(random, height, size), window=Window(0, top, size, height))
    save_untrained(folder / WEIGHTS)


def save_untrained(path: Path) -> None:
    """Weights that are needed only to plan with."""
    config = sizes_of("pico")
    save_weights(path, build(config, seed=0), config, SECOND, tile=TILE, trained="not trained")


def _noise(random: np.random.Generator, height: int, width: int) -> Any:
    shape = 3, -(-height // GRAIN), -(-width // GRAIN)
    patches = random.integers(0, 240, shape, np.uint8).repeat(GRAIN, 1).repeat(GRAIN, 2)[:, :height, :width]
    return patches + random.integers(0, 16, patches.shape, np.uint8)


def _detect(folder: Path, workers: int) -> dict[str, Any]:
    t1, t2 = (str(folder / name) for name in SCENES)
    request = DetectRequest(t1, t2, folder / "out", folder / WEIGHTS, workers=workers, device="cpu")
    return detect_without_cost(request, _Nobody())


def detect_without_cost(request: DetectRequest, listener: Listener) -> dict[str, Any]:
    """The job on a CPU, with a model that costs nothing in the place of the one that it is planned with."""
    journal = Journal(request.out)
    with locked(journal.out) as lock:
        site = ThisMachine()
        plan = make_plan(request, site)
        costless = CostlessSource(plan.source.weights, plan.lattice.tile, len(plan.weights.classes.land_covers))
        plan = replace(plan, source=costless)  # type: ignore[arg-type]  # no trained model, but all that is asked of one
        return carry_out(Run(request, plan, journal, lock, Clock(), listener, computed_at(site, plan, never)))


class _Nobody:
    """A listener that does not listen."""

    def note(self, sentence: str) -> None:
        pass

    def stage(self, name: str, total: int, unit: str, pixels_per_unit: float) -> None:
        pass

    def advance(self, units: int) -> None:
        pass


def _in_a_fresh_process(call: Callable[..., Any], *arguments: object) -> tuple[Any, Used]:
    start = time.perf_counter()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        answer, core_seconds, peak_bytes = fresh.submit(_watched, call, *arguments).result()
    return answer, Used(time.perf_counter() - start, core_seconds, peak_bytes)


def _watched(call: Callable[..., Any], *arguments: object) -> tuple[Any, float, int]:
    """What a call answers, the core seconds of this process and its children since its start, and the most memory."""
    answer = call(*arguments)
    times = os.times()
    return answer, times.user + times.system + times.children_user + times.children_system, _peak_bytes()


def _peak_bytes() -> int:
    """The most memory that this process, or any of its children that have ended, has had at once."""
    if os.name == "nt":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not there on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(each).ru_maxrss for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
