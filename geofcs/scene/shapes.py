"""What is read of a vector file: geometries, their CRS, and some of their attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj


@dataclass(frozen=True)
class Shapes:
    """Geometries, `crs` (None: unknown), and `columns` with a value for each of them."""

    geometries: npt.NDArray[np.object_]
    crs: pyproj.CRS | None
    columns: dict[str, list[Any]] = field(default_factory=dict)
