"""The pixels of a made-up pair of scenes: two images, what truly changed between them, and the land cover of both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geofcs.errors import InputError
from geofcs.synthetic.ground import Ground, ground_of
from geofcs.synthetic.nuisance import conditions_of
from geofcs.synthetic.parameters import SceneParameters
from geofcs.synthetic.render import image, surroundings
from geofcs.synthetic.surfaces import Cover, Region
from geofcs.synthetic.window import Window


class ScenePixels(NamedTuple):
    """A window of both scenes: images (3, h, w) uint8 RGB, from-to codes (h, w), and class ids (h, w) uint8.

    In a binary scheme the ids are SECOND's.
    """

    t1: npt.NDArray[np.uint8]
    t2: npt.NDArray[np.uint8]
    codes: npt.NDArray[Any]
    land_cover_t1: npt.NDArray[np.uint8]
    land_cover_t2: npt.NDArray[np.uint8]


def scene_pixels(parameters: SceneParameters, row: int, col: int, height: int, width: int) -> ScenePixels:
    """The pixels from (row, col) on; the same ones whatever window they are asked for in."""
    if height < 1 or width < 1:
        raise InputError(f"a window of {height} x {width} pixels is empty")
    window = Window(row, col, height, width)
    conditions = conditions_of(parameters)
    outer = surroundings(parameters, window, conditions)
    ground = ground_of(parameters, outer)
    t1, t2 = (image(parameters, window, outer, ground, date, each) for date, each in enumerate(conditions))
    inner = _middles(window, outer, parameters.points)
    return ScenePixels(t1, t2, _codes(parameters, ground, inner), *(land.cover[inner] for land in ground.lands))


def _middles(window: Window, outer: Window, points: int) -> tuple[slice, slice]:
    """Where in the surroundings' arrays the sampling point nearest to each pixel's middle lies."""
    rows, cols = window.divided(points).within(outer)
    half = points // 2
    return slice(rows.start + half, rows.stop, points), slice(cols.start + half, cols.stop, points)


def _codes(parameters: SceneParameters, ground: Ground, inner: tuple[slice, slice]) -> npt.NDArray[Any]:
    """From-to codes where the land cover changed, or one building gave way to another."""
    before, after = (land.cover[inner] for land in ground.lands)
    replaced = ground.lands[0].thing[inner] != ground.lands[1].thing[inner]
    building = Region.BUILDING if parameters.is_coarse else Cover.BUILDING
    changed = (before != after) | (replaced & (before == building))
    return np.where(changed, parameters.scheme.encode(before, after), 0).astype(parameters.scheme.code_dtype)
