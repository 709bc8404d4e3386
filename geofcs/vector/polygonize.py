"""The job: from a change raster to change polygons, block by block, with the result of the whole raster at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from geofcs.classes import ClassScheme
from geofcs.errors import InputError, OutputError
from geofcs.vector.areas import PixelAreas
from geofcs.vector.features import GEOMETRY, FeatureMaker
from geofcs.vector.regions import BlockRegions, Regions, Tally, find_regions
from geofcs.vector.rings import Polygons
from geofcs.vector.seams import Seams
from geofcs.vector.source import ChangeSource, open_source
from geofcs.vector.style import STYLE_TABLE, style_table
from geofcs.vector.windows import Block, block_rows
from geofcs.vector.write import LAYER, check_target, write_features

SUMMARY = "summary"

BLOCK = 2048
"""Pixels a side of what is looked at at once: some 200 MB when every other pixel has a region of its own."""


@dataclass(frozen=True)
class PolygonCounts:
    """What became of the regions of a change raster: how many were written, and how many were below the least area.

    `pixels_per_code` counts pixels of the raster, no change (0) and nodata included.
    """

    polygons: int
    polygons_below_min_area: int
    pixels_per_code: dict[int, int]


def polygonize(
    change: str | Path,
    out: Path,
    *,
    probability: str | Path | None = None,
    scheme: ClassScheme | None = None,
    min_area: float = 0.0,
    max_polygons: int = 5_000_000,
    date_t1: str | None = None,
    date_t2: str | None = None,
    block: int = BLOCK,
    overwrite: bool = True,
    progress: Callable[[int], None] | None = None,
) -> PolygonCounts:
    """Write one polygon per 4-connected region of one code in `change` to `out` (.gpkg, .fgb, .parquet or .geojson).

    `scheme` None takes the one that the raster carries. Regions below `min_area` square metres are left out, in a
    GeoPackage's table `summary` they count. `probability`: change scores in percent on the same pixels. `block` is how
    many pixels a side are looked at at once; it changes nothing in the result. `progress` is told of pixels done.

    Raises a `GeofcsError` of every kind but compute; then `out` is what it was before.
    """
    with open_source(change, probability, scheme) as source:
        check_target(out, source.grid.crs, overwrite)
        run = _Run(source, PixelAreas.of(source.grid), min_area, max_polygons)
        if min_area > 0 and not run.areas.are_known:
            raise InputError(f"{change}: has no CRS, so areas are not known: leave --min-area out")
        maker = FeatureMaker(source.grid, source.scheme, date_t1, date_t2)
        batches = (maker.features(*found) for found in run.polygons(block, progress or _nobody))
        count = write_features(out, batches, lambda: _tables(maker, run.tally), source.grid.crs, _date_of(change))
    pixels = {int(code): int(run.tally.pixels[code]) for code in np.flatnonzero(run.tally.pixels)}
    return PolygonCounts(count, run.dropped, pixels)


class _Run:
    """Goes through the blocks once, and knows in the end what there was."""

    def __init__(self, source: ChangeSource, areas: PixelAreas, min_area: float, max_polygons: int) -> None:
        self._source = source
        self.areas = areas
        self._min_area = min_area
        self._max_polygons = max_polygons
        self._polygons = 0
        self.dropped = 0
        self.tally = Tally(np.zeros(source.nodata + 1, np.int64), np.zeros(source.nodata + 1))

    def polygons(self, side: int, progress: Callable[[int], None]) -> Iterator[tuple[Regions, Polygons]]:
        """All polygons, as soon as their regions are complete; `OutputError` when there are too many."""
        height, width = self._source.grid.shape
        seams = Seams(width)
        for row in block_rows(height, width, side):
            for block in row:
                found = self._find(block)
                seams.add(block, found)
                yield self._counted(found.complete, found.polygons, found.dropped)
                progress(block.height * block.width)
            yield self._counted(*seams.finish_row(self._min_area))

    def _find(self, block: Block) -> BlockRegions:
        source = self._source
        codes, percent = source.codes(block), source.percent(block)
        found = find_regions(codes, percent, source.nodata, block, self.areas, self._min_area)
        self.tally = self.tally + found.tally
        return found

    def _counted(self, regions: Regions, polygons: Polygons, dropped: int) -> tuple[Regions, Polygons]:
        self.dropped += dropped
        self._polygons += len(regions)
        if self._polygons > self._max_polygons:
            raise OutputError(
                f"{self._source.change.name}: there are more than {self._max_polygons} polygons: leave small ones out "
                "with --min-area, or allow more with --max-polygons"
            )
        return regions, polygons


def _tables(maker: FeatureMaker, tally: Tally) -> dict[str, pd.DataFrame]:
    """What a GeoPackage holds besides the polygons."""
    present = [each for each in maker.scheme.transitions if tally.pixels[each.code]]
    return {
        SUMMARY: maker.summary(tally).to_pandas(),
        STYLE_TABLE: style_table(LAYER, GEOMETRY, present),
    }


def _date_of(change: str | Path) -> str:
    """When a file was last written; what lies elsewhere than on a disk has no date."""
    path = Path(change)
    seconds = path.stat().st_mtime if path.exists() else 0
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _nobody(_pixels: int) -> None:
    pass
