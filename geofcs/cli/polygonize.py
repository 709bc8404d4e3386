"""`geofcs polygonize`: from-to polygons from a change raster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Change = Annotated[Path, Argument(metavar="CHANGE", help="A raster of from-to codes, such as change.tif.")]
Out = Annotated[Path, Option("-o", "--out", help="What to write: .gpkg, .fgb, .parquet or .geojson (EPSG:4326).")]
Probability = Annotated[Path | None, Option(help="Change scores in percent, such as probability.tif.")]
Classes = Annotated[
    str | None, Option(help="The class scheme, second, landsat or binary. Default: the one that CHANGE carries.")
]
MinArea = Annotated[float, Option(min=0, help="Leave out polygons below this many m2; the summary counts them.")]
MaxPolygons = Annotated[int, Option(min=1, help="Stop rather than write more polygons.")]
Threads = Annotated[int | None, Option(min=1, help="Default: as many as there are cores.")]
DateT1 = Annotated[str | None, Option(help="Date of T1, for the attribute date_t1.")]
DateT2 = Annotated[str | None, Option(help="Date of T2, likewise.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the output, once the new one is complete.")]


def polygonize(
    change: Change,
    out: Out,
    probability: Probability = None,
    classes: Classes = None,
    min_area: MinArea = 0.0,
    max_polygons: MaxPolygons = 5_000_000,
    date_t1: DateT1 = None,
    date_t2: DateT2 = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a polygon around every region of one from-to code, with its classes, area and mean change score."""
    import os

    from geofcs.classes import scheme_named
    from geofcs.cli.terminal import stderr
    from geofcs.vector.polygonize import polygonize as run

    counts = run(
        change, out, probability=probability, scheme=None if classes is None else scheme_named(classes),
        min_area=min_area, max_polygons=max_polygons, date_t1=date_t1, date_t2=date_t2,
        threads=threads or os.cpu_count() or 1, overwrite=overwrite,
    )  # fmt: skip
    left_out = f", {counts.polygons_below_min_area} below {min_area:g} m2" if min_area else ""
    stderr.print(f"{counts.polygons} polygons in {out}{left_out}", markup=False)
