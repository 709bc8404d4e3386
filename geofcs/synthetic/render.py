"""How land becomes an image: colours and texture under a sun, shadows of everything that is high, then the sensor."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.ground import TALLEST, Ground, Window
from geofcs.synthetic.noise import Floats, fractal, key_of, texture_tile, window_of
from geofcs.synthetic.nuisance import LOWEST_SUN, MARGIN, STEPS, Conditions, resampled, response, season_colours
from geofcs.synthetic.parameters import SceneParameters

CROWN = (72.0, 86.0, 50.0)
SKYLIGHT = (0.34, 0.38, 0.45)
"""Share of the light on open ground that reaches shadows, by band."""


def reach_of(parameters: SceneParameters) -> int:
    """Pixels around a window that may throw a shadow into it or are needed to filter it."""
    if parameters.is_coarse:
        return MARGIN
    return math.ceil(TALLEST / math.tan(math.radians(LOWEST_SUN)) / parameters.gsd) + MARGIN + 1


def image(
    parameters: SceneParameters, window: Window, ground: Ground, date: int, conditions: Conditions
) -> npt.NDArray[np.uint8]:
    """(3, height, width) of a window at a date (0 or 1), from the ground of the window grown by `reach_of`."""
    land, reach = ground.lands[date], reach_of(parameters)
    wide = window.grown(MARGIN)
    part = wide.within(window.grown(reach))
    thing, is_tree = land.thing[part], land.is_tree[part]
    sunlight = None if parameters.is_coarse else _sunlight(land.height, part, conditions, parameters.gsd)
    relief = _texture(parameters, wide, ground, date, part, conditions)
    colours = season_colours(ground.table, conditions)
    noise = _noise(parameters, window, date, conditions)
    bands = np.empty((3, window.height, window.width), np.uint8)
    for band in range(3):
        plane = colours[:, band].take(thing)
        if ground.canopy is not None:
            crown = np.float32(CROWN[band] * (1 + 0.7 * (conditions.living[band] - 1)))
            tone = ground.canopy.tone[part] * np.float32((0.22, 0.16, 0.14)[band]) + 1
            np.multiply(tone, crown, out=plane, where=is_tree)
        plane *= relief
        if sunlight is not None:
            plane *= sunlight * np.float32(1 - SKYLIGHT[band]) + np.float32(SKYLIGHT[band])
        seen = resampled(plane, conditions) + noise
        levels = np.clip(seen * np.float32(STEPS) + np.float32(0.5), 0, 256 * STEPS - 1).astype(np.int16)
        bands[band] = response(conditions, band).take(levels)
    return bands


def _texture(
    parameters: SceneParameters,
    wide: Window,
    ground: Ground,
    date: int,
    part: tuple[slice, slice],
    conditions: Conditions,
) -> Floats:
    """What the colour is multiplied with: mottling, grain, rows."""
    thing, table = ground.lands[date].thing[part], ground.table
    dice = Random(key_of(parameters.seed, "texture"))
    coarse, fine = (
        window_of(tile, wide.row + dice.randrange(4096), wide.col + dice.randrange(4096), wide.height, wide.width)
        for tile in texture_tiles()
    )
    patches = _patches(parameters, wide, conditions)
    relief: Floats = table["mottle"][thing] * (coarse * np.float32(0.6) + patches * np.float32(0.5))
    relief += table["grain"][thing] * fine
    if ground.canopy is not None:
        relief[ground.lands[date].is_tree[part]] *= np.float32(0.8)
    _add_rows(relief, parameters, ground, thing, part)
    np.clip(relief, -0.6, 0.8, out=relief)
    relief += 1
    return relief


def _patches(parameters: SceneParameters, wide: Window, conditions: Conditions) -> Floats:
    y, x = wide.ground(parameters.gsd)
    scale = max(1.0, parameters.gsd / 0.5)
    cells = 130.0 * scale, 38.0 * scale
    patches = fractal(key_of(parameters.seed, "patches", 0), y, x, cells, 0.7)
    if conditions.later_patches:
        others = fractal(key_of(parameters.seed, "patches", 1), y, x, cells, 0.7)
        patches += np.float32(conditions.later_patches) * (others - patches)
    return patches


def _add_rows(
    relief: Floats, parameters: SceneParameters, ground: Ground, thing: npt.NDArray[np.intp], part: tuple[slice, slice]
) -> None:
    """Rows of crops and of roof panels; where pixels are too coarse for them they are drawn wider."""
    strength = ground.table["row_strength"][thing]
    rows = np.flatnonzero(strength)
    kind = thing.ravel()[rows]
    along = np.where(ground.table["row_axis"][kind], ground.q[part].ravel()[rows], ground.p[part].ravel()[rows])
    spacing = np.maximum(ground.table["row_spacing"][kind], np.float32(3.5 * parameters.gsd))
    turns = along / spacing
    wave = 4 * np.abs(turns - np.floor(turns) - np.float32(0.5)) - 1
    relief.reshape(-1)[rows] += strength.ravel()[rows] * wave


@lru_cache(maxsize=1)
def texture_tiles() -> tuple[Floats, Floats]:
    """Coarse and fine texture, of sizes with no small common multiple."""
    coarse = texture_tile(11, 1024, (64, 32, 16, 8), 0.2)
    return coarse, texture_tile(12, 960, (6, 3), 1.3)


@lru_cache(maxsize=1)
def _noise_tile() -> Floats:
    return texture_tile(13, 1000, (2,), 2.0)


def _noise(parameters: SceneParameters, window: Window, date: int, conditions: Conditions) -> Floats:
    dice = Random(key_of(parameters.seed, "noise", date))
    row, col = window.row + dice.randrange(4096), window.col + dice.randrange(4096)
    return window_of(_noise_tile(), row, col, window.height, window.width) * np.float32(conditions.noise)


def _sunlight(height: Floats, part: tuple[slice, slice], conditions: Conditions, gsd: float) -> Floats:
    """Direct light on each pixel of `part`: 0 in shadow, about 1 on open ground, more on slopes towards the sun."""
    azimuth, elevation = math.radians(conditions.azimuth), math.radians(conditions.elevation)
    up, right = -math.cos(azimuth), math.sin(azimuth)
    rows, cols = part
    shade = _shadow_height(height, (up, right), gsd * math.tan(elevation))[part]
    north = height[rows.start - 1 : rows.stop - 1, cols] - height[rows.start + 1 : rows.stop + 1, cols]
    east = height[rows, cols.start + 1 : cols.stop + 1] - height[rows, cols.start - 1 : cols.stop - 1]
    lean = 1 / (2 * gsd * math.tan(elevation))
    facing = np.float32(up * lean) * north - np.float32(right * lean) * east
    light = 1 + np.clip(facing, -0.55, 0.4)
    lit: Floats = light * (shade <= height[part] + np.float32(0.25))
    return lit


def _shadow_height(height: Floats, sun: tuple[float, float], drop: float) -> Floats:
    """The height below which a pixel lies in shadow: max over k of (height k pixels towards the sun) - k drop.

    The maximum over 0..2n-1 steps is that over 0..n-1, or the same n steps on: a few shifted maxima instead of many.
    """
    reach = math.ceil(TALLEST / drop)
    shade, done = height, 1
    while done <= reach:
        step = min(done, reach + 1 - done)
        shade = _raised(shade, round(sun[0] * step), round(sun[1] * step), np.float32(step * drop))
        done += step
    return shade


def _raised(shade: Floats, down: int, right: int, drop: np.float32) -> Floats:
    """The maximum of each pixel and the one at an offset, lowered; where that is outside, the pixel."""
    result = shade.copy()
    h, w = shade.shape
    here = result[max(0, -down) : h - max(0, down), max(0, -right) : w - max(0, right)]
    there = shade[max(0, down) : h + min(0, down), max(0, right) : w + min(0, right)]
    np.maximum(here, there - drop, out=here)
    return result
