"""Times a whole run around a model that costs nothing, against a bare pass of GDAL over the same files."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geofcs.bench.bare_pass import bare_pass
from geofcs.bench.costless_run import timed_without_cost
from geofcs.bench.fresh import Used, in_a_fresh_process
from geofcs.bench.made_pair import SCENES, make_pair
from geofcs.bench.setting import sizes_of
from geofcs.bench.timing import Note
from geofcs.classes import SECOND
from geofcs.model.build import build
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest

WEIGHTS = "pico.safetensors"
TILE = 512


@dataclass(frozen=True)
class SceneTimes:
    """A whole `detect` and a bare pass over one pair of `size` x `size` pixels, with `workers` threads each.

    `stages` are the seconds of the run's stages, `steps` those of the bare pass. `stub_core_seconds` is what making the
    stub's answer took in the run's process: it stands for the model, and is no part of what is around one.
    """

    size: int
    workers: int
    polygons: int
    detect: Used
    stub_core_seconds: float
    stages: dict[str, float]
    bare: Used
    steps: dict[str, float]

    @property
    def ratio(self) -> float:
        """The run's time over that of the bare pass's steps."""
        return self.detect.seconds / sum(self.steps.values())

    @property
    def core_seconds_per_100_megapixels(self) -> float:
        """What everything outside the model takes, Python's start included."""
        return (self.detect.core_seconds - self.stub_core_seconds) / (self.size**2 / 1e8)

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
        make_pair(folder, size, workers)
        save_untrained(folder / WEIGHTS)
        note(f"detect, {size} x {size}")
        t1, t2 = (str(folder / name) for name in SCENES)
        request = DetectRequest(t1, t2, folder / "out", folder / WEIGHTS, workers=workers, device="cpu")
        (run, stub), detect = in_a_fresh_process(timed_without_cost, request, TILE)
        note(f"bare pass, {size} x {size}")
        (folder / "bare").mkdir()
        steps, bare = in_a_fresh_process(bare_pass, folder, folder / "out", folder / "bare", workers)
    return SceneTimes(size, workers, run["counts"]["polygons"], detect, stub, run["seconds"], bare, steps)


def save_untrained(path: Path, model: str = "pico") -> None:
    """Random weights of a model, by its name as benchmarks know it."""
    config = sizes_of(model)
    save_weights(path, build(config, seed=0), config, SECOND, tile=TILE, trained="not trained")
