"""How land becomes an image: colour and texture under a sun, then optics and the sensor."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt

from geofcs.synthetic.ground import Ground
from geofcs.synthetic.light import reach_of, sunlight
from geofcs.synthetic.noise import Floats, key_of, texture_tile, window_of
from geofcs.synthetic.nuisance import MARGIN, STEPS, Conditions, resampled, response, season_colours
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.texture import texture
from geofcs.synthetic.window import Window

CROWN = (74.0, 86.0, 53.0)
"""Colour of a tree, RGB."""

CROWN_TONES = (0.24, 0.16, 0.14)
"""How far single trees stray from it, by band."""

SKYLIGHT = (0.36, 0.40, 0.47)
"""Share of the light on open ground that reaches shadows too, by band."""


def surroundings(parameters: SceneParameters, window: Window, conditions: tuple[Conditions, Conditions]) -> Window:
    """The sampling points that an image of `window` (pixels) depends on."""
    seen = window.grown(MARGIN, MARGIN, MARGIN).divided(parameters.points)
    if parameters.is_coarse:
        return seen
    below, beside = reach_of([each.sun for each in conditions], parameters.fine_gsd)
    return seen.grown(1, below, beside)


def image(
    parameters: SceneParameters, window: Window, outer: Window, ground: Ground, date: int, conditions: Conditions
) -> npt.NDArray[np.uint8]:
    """(3, height, width) RGB of a window at a date (0 or 1), from the ground of its surroundings `outer`."""
    seen = window.grown(MARGIN, MARGIN, MARGIN).divided(parameters.points)
    part = seen.within(outer)
    light = texture(parameters, seen, ground, date, part, conditions.later_patches)
    lit = (
        None if parameters.is_coarse else sunlight(ground.lands[date].height, part, conditions.sun, parameters.fine_gsd)
    )
    colours, noise = season_colours(ground.table, conditions), _noise(parameters, window, date, conditions)
    bands = np.empty((3, *window.shape), np.uint8)
    for band in range(3):
        plane = _colour(ground, date, part, colours[:, band], band, conditions)
        plane *= light
        if lit is not None:
            plane *= lit * np.float32(1 - SKYLIGHT[band]) + np.float32(SKYLIGHT[band])
        level = resampled(_averaged(plane, parameters.points), conditions) + noise
        steps = np.clip(level * np.float32(STEPS) + np.float32(0.5), 0, 256 * STEPS - 1).astype(np.int16)
        bands[band] = response(conditions, band).take(steps)
    return bands


def _colour(
    ground: Ground, date: int, part: tuple[slice, slice], colours: Floats, band: int, conditions: Conditions
) -> Floats:
    """One band of the colour of things and of trees, in even light."""
    plane: Floats = colours.take(ground.lands[date].thing[part])
    if ground.canopy is not None:
        leaf = CROWN[band] * (1 + 0.7 * (conditions.living[band] - 1))
        crown = ground.canopy.tone[part] * np.float32(leaf * CROWN_TONES[band]) + np.float32(leaf)
        np.copyto(plane, crown, where=ground.lands[date].is_tree[part])
    return plane


def _averaged(plane: Floats, points: int) -> Floats:
    """The mean of `points` x `points` sampling points for each pixel."""
    if points == 1:
        return plane
    total = np.zeros((plane.shape[0] // points, plane.shape[1] // points), np.float32)
    for row in range(points):
        for col in range(points):
            total += plane[row::points, col::points]
    total *= np.float32(1 / points**2)
    return total


@lru_cache(maxsize=1)
def _noise_tile() -> Floats:
    return texture_tile(13, 1000, (2,), 2.0)


def _noise(parameters: SceneParameters, window: Window, date: int, conditions: Conditions) -> Floats:
    dice = Random(key_of(parameters.seed, "noise", date))
    row, col = window.row + dice.randrange(4096), window.col + dice.randrange(4096)
    return window_of(_noise_tile(), row, col, *window.shape) * np.float32(conditions.noise)
