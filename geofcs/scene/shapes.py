"""What is read of a vector file: geometries, their CRS, and some attributes; and how they come into another CRS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from geofcs.errors import InputError

Geometries = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Shapes:
    """Geometries, `crs` (None: unknown), and `columns` with a value for each of them."""

    geometries: Geometries
    crs: pyproj.CRS | None
    columns: dict[str, list[Any]] = field(default_factory=dict)


def projected(geometries: Geometries, crs: pyproj.CRS, target: pyproj.CRS, name: str) -> Geometries:
    """Geometries of the file `name`, point by point in another CRS; raises `InputError` where that has no place."""
    try:
        move = pyproj.Transformer.from_crs(crs, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise InputError(
            f"{name}: no way leads from its CRS, {crs.name}, to that of the scenes: write it anew in theirs"
        ) from error
    moved = shapely.transform(geometries, lambda points: np.column_stack(move.transform(*points.T)))
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise InputError(f"{name}: lies outside what the CRS of the scenes can describe: check its coordinates")
    return np.asarray(moved, object)
