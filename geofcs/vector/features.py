"""Polygons as features: geometry in the raster's CRS, and the attributes of layer `changes` and table `summary`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely
from affine import Affine

from geofcs.classes import NO_CHANGE, ClassScheme
from geofcs.errors import VerificationError
from geofcs.grid import Grid
from geofcs.vector.regions import Regions, Tally
from geofcs.vector.rings import Polygons
from geofcs.vector.runs import Floats, Ints

GEOMETRY = "geom"

SCHEMA = pa.schema(
    [
        pa.field("fid", pa.int64(), nullable=False),
        pa.field("code", pa.int32(), nullable=False),
        pa.field("from_class", pa.string()),
        pa.field("to_class", pa.string()),
        pa.field("area_m2", pa.float64()),
        pa.field("pixels", pa.int64(), nullable=False),
        pa.field("mean_probability", pa.float64()),
        pa.field("date_t1", pa.string()),
        pa.field("date_t2", pa.string()),
        pa.field("region", pa.int64(), nullable=False),
        pa.field(GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}),
    ]
)
"""Columns of layer `changes`. The feature id is 1 + row x width + col of a region's first pixel: features are ordered
by it, and it does not depend on how the raster was cut. `region` is the same, but for pieces of a region that was too
large for one polygon: these have that of the region, and its mean change score."""

SQUARE_METRES_PER_HECTARE = 10_000


@dataclass(frozen=True)
class FeatureMaker:
    """What all features have in common."""

    grid: Grid
    scheme: ClassScheme
    date_t1: str | None
    date_t2: str | None

    def features(self, regions: Regions, polygons: Polygons) -> pa.RecordBatch:
        """The regions as rows of `SCHEMA`; `VerificationError` if one of the polygons is not valid."""
        count = len(regions)
        mean = np.full(count, np.nan)
        np.divide(regions.percent_sum, regions.percent_pixels, out=mean, where=regions.percent_pixels > 0)
        return pa.RecordBatch.from_arrays(
            [
                pa.array(regions.first + 1),
                pa.array(regions.code.astype(np.int32)),
                self.from_names.take(pa.array(regions.code)),
                self.to_names.take(pa.array(regions.code)),
                pa.array(regions.area_m2, from_pandas=True),
                pa.array(regions.pixels),
                pa.array(mean, from_pandas=True),
                pa.repeat(pa.scalar(self.date_t1, pa.string()), count),
                pa.repeat(pa.scalar(self.date_t2, pa.string()), count),
                pa.array(regions.whole + 1),
                pa.array(shapely.to_wkb(self._geometries(regions, polygons)), pa.binary()),
            ],
            schema=SCHEMA,
        )

    def summary(self, tally: Tally) -> pa.Table:
        """Pixels and hectares of each code that occurs, no change (0) and nodata included; these have no classes."""
        codes = tally.codes
        named = pa.array(np.where(codes < len(self.from_names), codes, NO_CHANGE))
        return pa.table(
            {
                "code": pa.array(codes.astype(np.int32)),
                "from_class": self.from_names.take(named),
                "to_class": self.to_names.take(named),
                "pixels": pa.array(tally.pixels[codes]),
                "hectares": pa.array(tally.area_m2[codes] / SQUARE_METRES_PER_HECTARE, from_pandas=True),
            }
        )

    @cached_property
    def from_names(self) -> pa.Array:
        """By code, the class before; null for no change and in a binary scheme."""
        names = [self.scheme.cover_name(each.from_id) or None for each in self.scheme.transitions]
        return pa.array([None, *names], pa.string())

    @cached_property
    def to_names(self) -> pa.Array:
        """By code, the class after; null likewise."""
        names = [self.scheme.cover_name(each.to_id) or None for each in self.scheme.transitions]
        return pa.array([None, *names], pa.string())

    def _geometries(self, regions: Regions, polygons: Polygons) -> npt.NDArray[np.object_]:
        places = _placed(polygons.vertices, self.grid.transform)
        geometries = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, places, (polygons.rings, polygons.polygons)
        )
        is_valid = shapely.is_valid(geometries)
        if not is_valid.all():
            row, col = divmod(int(regions.first[np.argmin(is_valid)]), self.grid.width)
            raise VerificationError(
                f"the polygon of the region at row {row}, column {col} is not valid: this is a fault in geofcs, "
                "please report it with the raster"
            )
        return geometries


def _placed(vertices: Ints, transform: Affine) -> Floats:
    """Pixel corners (col, row) as coordinates (x, y)."""
    col, row = vertices.T
    x = transform.a * col + transform.b * row + transform.c
    y = transform.d * col + transform.e * row + transform.f
    return np.stack([x, y], axis=1)
