"""A made-up pair and untrained weights: what whole runs of the command need."""

from __future__ import annotations

from pathlib import Path

from geofcs.classes import SECOND
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes

WEIGHTS = "w.safetensors"


def make_material(folder: Path, extent: Extent, *, width: int = 8, tile: int = 64) -> None:
    """t1.tif, t2.tif and their truth, and a `pico` of that width for tiles of that side."""
    write_scenes(folder, SceneParameters(seed=3), extent)
    config = pico(classes=SECOND.count, width=width)
    save_weights(folder / WEIGHTS, build(config, 0), config, SECOND, tile=tile, trained="not trained")
