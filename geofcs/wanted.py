"""What is to be made of a run's strips; light, for whoever has it made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofcs.classes import ClassScheme
from geofcs.grid import Grid
from geofcs.mosaic import Mosaic
from geofcs.product import Product

POLYGONS = "changes.gpkg"


@dataclass(frozen=True)
class Wanted:
    """What is to be made in `folder` of strips, in so many threads; polygons are dated `date` (ISO 8601)."""

    folder: Path
    products: Sequence[Product]
    strips: Mosaic
    grid: Grid
    scheme: ClassScheme
    threads: int
    date: str
    polygons: Mapping[str, Any]
    """Options of `polygons_of`."""
