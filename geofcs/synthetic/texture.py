"""Texture: what the colour of a thing is multiplied with, pixel by pixel."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.ground import Ground
from geofcs.synthetic.noise import Floats, fractal, key_of, texture_tile, window_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.window import Window


def texture(
    parameters: SceneParameters,
    window: Window,
    ground: Ground,
    date: int,
    part: tuple[slice, slice],
    later_patches: float,
) -> Floats:
    """(height, width) factors about 1, of sampling points in `window`, which is `part` of the ground.

    Mottling, grain and rows as strong as each thing has them; `later_patches` mixes in another pattern of growth.
    """
    thing, table = ground.lands[date].thing[part], ground.table
    dice = Random(key_of(parameters.seed, "texture"))
    strength = np.float32(dice.uniform(0.75, 1.3))
    coarse, fine = (
        window_of(tile, window.row + dice.randrange(4096), window.col + dice.randrange(4096), *window.shape)
        for tile in _tiles()
    )
    coarse *= np.float32(0.7)
    coarse += _patches(parameters, window, later_patches)
    relief: Floats = table["mottle"].take(thing) * coarse
    relief += table["grain"].take(thing) * fine
    relief *= strength
    _add_rows(relief, parameters, ground, thing, part)
    np.clip(relief, -0.6, 0.8, out=relief)
    relief += 1
    return relief


@lru_cache(maxsize=1)
def _tiles() -> tuple[Floats, Floats]:
    """Coarse and fine texture, of sizes with no small common multiple."""
    return texture_tile(11, 1024, (64, 32, 16, 8, 4), 0.4), texture_tile(12, 960, (6, 3), 1.3)


def _patches(parameters: SceneParameters, window: Window, later: float) -> Floats:
    """Dry and lush spots, tens of metres across."""
    y, x = window.ground(parameters.fine_gsd)
    scale = max(1.0, parameters.fine_gsd / 0.5)
    weights = 0.45 * (1 - later), 0.45 * later
    patches = [
        np.float32(weight) * fractal(key_of(parameters.seed, "patches", number), y, x, (130 * scale, 38 * scale), 0.7)
        for number, weight in enumerate(weights)
        if weight
    ]
    return patches[0] + patches[1] if len(patches) == 2 else patches[0]


def _add_rows(
    relief: Floats, parameters: SceneParameters, ground: Ground, thing: npt.NDArray[np.intp], part: tuple[slice, slice]
) -> None:
    """Rows of crops and of roof panels; where pixels are too coarse for them they are drawn wider."""
    table = ground.table
    rows = np.flatnonzero((table["row_strength"] > 0).take(thing))
    kind = thing.ravel().take(rows)
    along = np.where(table["row_axis"][kind], ground.q[part].ravel().take(rows), ground.p[part].ravel().take(rows))
    turns = along / np.maximum(table["row_spacing"], np.float32(3.5 * parameters.fine_gsd)).take(kind)
    wave = 4 * np.abs(turns - np.floor(turns) - np.float32(0.5)) - 1
    relief.reshape(-1)[rows] += table["row_strength"].take(kind) * wave
