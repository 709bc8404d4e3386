"""`geofcs check`: what two scenes are to each other, before any model is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from geofcs.cli import options

if TYPE_CHECKING:
    from geofcs.grid import Grid
    from geofcs.scene import SceneDate, ScenePair

T1 = Annotated[str, Argument(metavar="T1", help="The earlier scene; its pixels are the grid.")]
T2 = Annotated[str, Argument(metavar="T2", help="The later scene, on any grid.")]

NAME_COLUMN = 12
"""Characters that names take before what is said."""


def check(
    t1: T1,
    t2: T2,
    bands: options.Bands = None,
    bands_t1: options.BandsT1 = None,
    bands_t2: options.BandsT2 = None,
    aoi: options.Aoi = None,
    mask_t1: options.MaskT1 = None,
    mask_t2: options.MaskT2 = None,
    scale: options.Scale = None,
    scale_per_date: options.ScalePerDate = False,
    resampling: options.Resampling = None,
    assume_crs: options.AssumeCrs = None,
    assume_aligned: options.AssumeAligned = False,
    allow_driver: options.AllowDrivers = None,
    allow_source: options.AllowSources = None,
) -> None:
    """Say what geofcs detect would compare: grid, alignment, bands, scaling, valid pixels, and what looks doubtful.

    Reads headers and a sample of pixels, runs no model and writes nothing. Takes the options of geofcs detect.
    """
    from rich.text import Text

    from geofcs.cli.terminal import stdout
    from geofcs.scene import SceneOptions, plan_pair

    scene = SceneOptions(
        bands=bands, bands_t1=bands_t1, bands_t2=bands_t2, aoi=aoi, mask_t1=mask_t1, mask_t2=mask_t2, scale=scale,
        scale_per_date=scale_per_date, resampling=resampling, assume_crs=assume_crs, assume_aligned=assume_aligned,
        allow_drivers=tuple(allow_driver or ()), allow_sources=tuple(allow_source or ()),
    )  # fmt: skip
    for name, said in rows(plan_pair(t1, t2, scene)):
        stdout.print(Text(f"{name:{NAME_COLUMN}}", style="dim"), said, sep="", markup=False)


def rows(pair: ScenePair) -> Iterator[tuple[str, str]]:
    """What a pair is, a name and a sentence at a time."""
    from geofcs.scene.sample import valid_share

    for name, date in (("T1", pair.t1), ("T2", pair.t2)):
        yield name, date.path
        yield "", f"{_grid_line(date.source.grid)}, {date.source.dtype}{_date_of(date)}"
        yield "", f"bands {', '.join(date.source.labels)}; {_validity_line(date)}"
        yield "", _placement_line(date)
        yield "", f"values {date.stretch.text} become 0-255" if date.stretch else "values are 0-255 as they stand"
    yield "compared", _grid_line(pair.grid)
    if pair.aoi:
        yield "", f"inside {pair.aoi.text}"
    yield "valid", f"{100 * valid_share(pair):.1f} % of a sample of pixels, on both dates"
    for note in pair.notes:
        yield "note", note


def _grid_line(grid: Grid) -> str:
    from geofcs.scene.alignment import crs_text

    x, y = grid.transform.a, grid.transform.e
    pixel = f"pixels of {abs(x):.6g} x {abs(y):.6g}" if grid.is_north_up else "turned pixels"
    return f"{grid.width} x {grid.height}, {pixel}, {crs_text(grid)}"


def _date_of(date: SceneDate) -> str:
    return f", taken {date.date}" if date.date else ""


def _validity_line(date: SceneDate) -> str:
    """What makes pixels of a scene invalid."""
    source = date.source
    marks = {
        f"nodata {source.nodata}": source.nodata is not None,
        f"alpha in band {source.alpha}": source.alpha is not None,
        "its own mask": bool(source.mask_bands),
        f"the mask {date.mask.source.file.name}" if date.mask else "": date.mask is not None,
    }
    said = [mark for mark, holds in marks.items() if holds]
    return f"left out by {' and '.join(said)}" if said else "nothing declared invalid"


def _placement_line(date: SceneDate) -> str:
    from geofcs.scene.alignment import Straight

    place = date.placement
    if isinstance(place, Straight):
        return f"read pixel by pixel, from row {place.row}, column {place.col} on"
    finer = (
        f", {1 / place.xscale:.2g} x {1 / place.yscale:.2g} pixels to one" if place.xscale * place.yscale < 1 else ""
    )
    return f"resampled ({place.resampling}{finer})"
