"""Times a whole run with a model of random weights, against what the model takes by itself."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from torch import Tensor

from geofcs.bench.fresh import Used, in_a_fresh_process
from geofcs.bench.gpu_use import GpuUse
from geofcs.bench.made_pair import SCENES, make_pair
from geofcs.bench.paced import Pace, detect_paced
from geofcs.bench.scene import save_untrained
from geofcs.bench.setting import Setting
from geofcs.bench.timing import Clock, Note
from geofcs.durable import sha256
from geofcs.model.inference import Forward, prepare
from geofcs.model.interface import scores_of
from geofcs.plan import OVERLAP_SHARE, DetectRequest
from geofcs.scoring import DTYPES
from geofcs.tiles import Lattice

WEIGHTS = "random.safetensors"

SHARE_CHANGED = 1e-4
"""Of the pixels, about: random weights find nothing in particular, so the threshold is put where they find little."""


@dataclass(frozen=True)
class ModelledTimes:
    """A whole `detect` of `size` x `size` pixels with a model, and seconds per tile of that model alone.

    `before` and `after` are medians around the run, of batches as the run has them; `tiles` are those of the scene,
    `scored` what blocks computed. Pixels are changed above `threshold`; `codes_sha256` is of the raster of codes.
    `idle_share` is the GPU's while blocks ran, None where nobody looked.
    """

    model: str
    size: int
    batch: int
    precision: str
    before: float
    after: float
    tiles: int
    scored: int
    blocks_in_flight: int
    polygons: int
    threshold: float
    codes_sha256: str
    detect: Used
    stages: dict[str, float]
    pace: Pace
    idle_share: float | None

    @property
    def alone(self) -> float:
        """Seconds that a tile takes by itself."""
        return (self.before + self.after) / 2

    @property
    def rate_share(self) -> float:
        """Tiles per second while blocks ran, over those of the model alone."""
        return self.pace.tiles_per_second * self.alone

    @property
    def over_model(self) -> float:
        """The whole run's time over that of the model on the scene's tiles."""
        return self.detect.seconds / (self.tiles * self.alone)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the ratios."""
        return {
            **asdict(self),
            "tiles_per_second": self.pace.tiles_per_second,
            "rate_share": self.rate_share,
            "over_model": self.over_model,
        }


def time_with_model(model: Setting, size: int, threads: int, clock: Clock, note: Note) -> ModelledTimes:
    """Make a pair, run `detect` on it in a process of its own with the default crew, and the model alone around that.

    `model` is timed on tiles of its size.
    """
    with tempfile.TemporaryDirectory(prefix="geofcs-bench-") as name:
        folder = Path(name)
        note(f"a pair of {size} x {size} pixels is made")
        make_pair(folder, size, threads)
        save_untrained(folder / WEIGHTS, model.model)
        note(f"{model.model} by itself")
        forward = prepare(model.network().to(clock.device), DTYPES[model.precision])
        tiles = _tiles_of(folder, size, model, clock.device)
        before, threshold = _seconds_per_tile(forward, tiles, clock), _threshold(forward, tiles)
        note(f"detect, {size} x {size}")
        with GpuUse().watched() as use:
            (run, pace), used = in_a_fresh_process(detect_paced, _request(folder, model, clock.device, threshold))
        codes = sha256(folder / "out" / "change.tif")
        note(f"{model.model} by itself")
        after = _seconds_per_tile(forward, tiles, clock)
    counts, crew = run["counts"], run["crew"]
    return ModelledTimes(
        **asdict(model) | {"size": size},
        before=before,
        after=after,
        tiles=Lattice.over(size, size, model.size, model.size // OVERLAP_SHARE).count,
        scored=counts["tiles_scored"],
        blocks_in_flight=crew["processes"] * crew["slots"],
        polygons=counts["polygons"],
        threshold=threshold,
        codes_sha256=codes,
        detect=used,
        stages=run["seconds"],
        pace=pace,
        idle_share=use.idle_share(pace.start, pace.end),
    )


def _tiles_of(folder: Path, size: int, model: Setting, device: str) -> tuple[Tensor, Tensor]:
    """A batch of the pair's tiles, from along its diagonal."""
    starts = np.linspace(0, size - model.size, model.batch).astype(int)
    dates = []
    for name in SCENES:
        with rasterio.open(folder / name, driver="GTiff") as file:
            tiles = [file.read(window=Window(start, start, model.size, model.size)) for start in starts]
        dates.append(torch.from_numpy(np.stack(tiles)).float().to(device))
    return dates[0], dates[1]


def _seconds_per_tile(forward: Forward, tiles: tuple[Tensor, Tensor], clock: Clock) -> float:
    with torch.inference_mode():
        return clock.median([lambda: forward(*tiles)]) / len(tiles[0])


def _threshold(forward: Forward, tiles: tuple[Tensor, Tensor]) -> float:
    """The change score above which so few pixels are."""
    with torch.inference_mode():
        change = scores_of(forward(*tiles)).change.flatten().cpu().numpy()
    return float(np.clip(np.quantile(change, 1 - SHARE_CHANGED), 1e-6, 1 - 1e-6))


def _request(folder: Path, model: Setting, device: str, threshold: float) -> DetectRequest:
    t1, t2 = (str(folder / name) for name in SCENES)
    return DetectRequest(
        t1, t2, folder / "out", folder / WEIGHTS, threshold=threshold, batch=model.batch, tile=model.size,
        device=device, precision=model.precision,
    )  # fmt: skip
