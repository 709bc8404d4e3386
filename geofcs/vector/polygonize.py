"""The job: from a change raster to change polygons, block by block, with the result of the whole raster at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from geofcs.classes import ClassScheme
from geofcs.errors import InputError, OutputError
from geofcs.lock import locked
from geofcs.vector.areas import PixelAreas
from geofcs.vector.check import LAYER
from geofcs.vector.counts import PolygonCounts
from geofcs.vector.features import GEOMETRY, FeatureMaker
from geofcs.vector.regions import Regions, Tally
from geofcs.vector.rings import Polygons
from geofcs.vector.source import Source, open_source
from geofcs.vector.stream import RegionStream
from geofcs.vector.style import STYLE_TABLE, style_table
from geofcs.vector.threads import ordered_map
from geofcs.vector.write import check_target, write_features

SUMMARY = "summary"

BLOCK = 1024
"""Pixels a side of what is looked at at once: larger ones need more memory and are no faster."""

POLYGONS_AT_ONCE = 65_536
"""Polygons on their way into the file; more are handed over in parts."""

Found = tuple[Regions, Polygons]


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
    threads: int = 1,
    overwrite: bool = True,
    progress: Callable[[int], None] | None = None,
) -> PolygonCounts:
    """Write one polygon per 4-connected region of one code in `change` to `out` (.gpkg, .fgb, .parquet or .geojson).

    `scheme` None takes the one that the raster carries. Regions below `min_area` square metres are left out; a
    GeoPackage's table `summary` counts them all the same. `probability`: change scores in percent on the same pixels.
    Blocks of `block` pixels a side are looked at at once by each of `threads` threads; neither changes anything in the
    features. `progress` is told of pixels done. Without a CRS areas are null.

    Raises a `GeofcsError` of every kind but compute, also where another process writes `out`; then `out` is what it was
    before.
    """
    check_target(out, overwrite)
    with locked(out), open_source(change, probability, scheme, threads) as source:
        return polygons_of(
            source, out, _date_of(change), min_area=min_area, max_polygons=max_polygons, date_t1=date_t1,
            date_t2=date_t2, block=block, threads=threads, overwrite=overwrite, progress=progress,
        )  # fmt: skip


def polygons_of(
    source: Source,
    out: Path,
    date: str,
    *,
    min_area: float = 0.0,
    max_polygons: int = 5_000_000,
    date_t1: str | None = None,
    date_t2: str | None = None,
    block: int = BLOCK,
    threads: int = 1,
    overwrite: bool = True,
    progress: Callable[[int], None] | None = None,
) -> PolygonCounts:
    """The same from a source that many threads may read, in a folder that is locked already.

    `date` (ISO 8601) is what the file says of its making.
    """
    with ordered_map(threads) as in_order:
        check_target(out, overwrite)
        areas = PixelAreas.of(source.grid)
        if not areas.are_known:
            _check_needs_no_place(source.name, out, min_area)
        stream = RegionStream(source.read, areas, source.nodata, min_area)
        maker = FeatureMaker(source.grid, source.scheme, date_t1, date_t2)
        found = _at_most(max_polygons, stream.regions(block, progress or _nobody, in_order), source.name)
        count = write_features(
            out, in_order(lambda some: maker.features(*some), _few(found)), lambda: _tables(maker, stream.tally),
            source.grid.crs, date,
        )  # fmt: skip
    return PolygonCounts(
        count, stream.dropped, {int(code): int(stream.tally.pixels[code]) for code in stream.tally.codes}
    )


def _check_needs_no_place(change: str, out: Path, min_area: float) -> None:
    if min_area > 0:
        raise InputError(f"{change}: has no CRS on the Earth, so areas are not known: leave --min-area out")
    if out.suffix == ".geojson":
        raise InputError(
            f"{change}: has no CRS on the Earth, and GeoJSON holds longitude and latitude: write a .gpkg instead"
        )


def _at_most(limit: int, found: Iterable[Found], change: str) -> Iterator[Found]:
    count = 0
    for regions, polygons in found:
        count += len(regions)
        if count > limit:
            raise OutputError(
                f"{change}: makes more than {limit} polygons: leave small ones out with --min-area, or allow more with "
                "--max-polygons"
            )
        yield regions, polygons


def _few(found: Iterable[Found]) -> Iterator[Found]:
    """The same in parts that bound what GEOS and Arrow hold at once."""
    for regions, polygons in found:
        for first in range(0, len(regions), POLYGONS_AT_ONCE):
            stop = min(first + POLYGONS_AT_ONCE, len(regions))
            yield regions.take(np.arange(first, stop)), polygons.part(first, stop)


def _tables(maker: FeatureMaker, tally: Tally) -> dict[str, pd.DataFrame]:
    """What a GeoPackage holds besides the polygons."""
    present = [each for each in maker.scheme.transitions if each.code in tally.codes]
    return {SUMMARY: maker.summary(tally).to_pandas(), STYLE_TABLE: style_table(LAYER, GEOMETRY, present)}


def _date_of(change: str | Path) -> str:
    """When a file was last written; what lies elsewhere than on a disk has no date."""
    path = Path(change)
    seconds = path.stat().st_mtime if path.exists() else 0
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _nobody(_pixels: int) -> None:
    pass
