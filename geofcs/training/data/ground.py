"""Where georeferenced images lie, so that those that validate show other ground than those that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from geofcs.errors import InputError
from geofcs.gdal import gdal_settings
from geofcs.scene.files import RasterFile

TIFF = frozenset({".tif", ".tiff"})

BLOCK_SIDES = (4, 2, 1)
"""Images a side of a block of ground: the largest that gives enough of them."""

FEWEST_BLOCKS = 10

Boxes = npt.NDArray[np.float64]


def footprints(paths: Sequence[Path]) -> Boxes | None:
    """(n, 4) left, bottom, right and top of images, in their CRS; None unless all are georeferenced, in one CRS."""
    if not paths or any(path.suffix.lower() not in TIFF for path in paths):
        return None
    boxes, systems = [], set()
    with gdal_settings():
        for path in paths:
            try:
                with RasterFile.found_at(str(path)).inspected() as (_, image):
                    systems.add(image.crs)
                    boxes.append(image.bounds)
            except InputError:  # reading the pair says what is wrong with it
                return None
            if image.crs is None or len(systems) > 1:
                return None
    return np.array(boxes)


def blocks_of_ground(boxes: Boxes) -> list[str]:
    """The block that each image's centre lies in."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    for side in BLOCK_SIDES:
        cells = np.floor((centres - centres.min(0)) / (side * size) + 0.5 / side).astype(int)
        if len(np.unique(cells, axis=0)) >= FEWEST_BLOCKS:
            break
    return [f"{row}/{col}" for row, col in cells.tolist()]


def overlapping(boxes: Boxes, held: Sequence[bool]) -> set[int]:
    """Images that are not held out but show ground of one that is; such as only touch it do not count."""
    chosen = np.asarray(held)
    # A thousandth of an image: neighbours whose edges differ by rounding share nothing.
    margin = 1e-3 * float(np.median(boxes[:, 2] - boxes[:, 0]))
    inner = [shapely.box(*box) for box in boxes[chosen] + margin * np.array([1, 1, -1, -1])]
    _, near = shapely.STRtree([shapely.box(*box) for box in boxes]).query(inner, predicate="intersects")
    return {int(number) for number in near if not chosen[number]}
