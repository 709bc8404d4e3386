"""`geofcs detect`: two GeoTIFFs in, change rasters and from-to polygons out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer import Exit

from geofcs.cli import options
from geofcs.cli.signals import SECONDS_TO_FINISH, signals
from geofcs.cli.terminal import stderr
from geofcs.errors import IncompleteError, StoppedError


def detect(
    t1: options.T1,
    t2: options.T2,
    weights: options.Weights = None,
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
    threshold: options.Threshold = 0.5,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    batch: options.Batch = None,
    device: options.Device = "auto",
    precision: options.ModelPrecision = options.Precision.AUTO,
    tta: options.Tta = "none",
    threads: options.Threads = None,
    workers: options.Workers = None,
    worker_kind: options.WorkersAre = options.WorkerKind.AUTO,
    scheduler: options.Scheduler = None,
    on_tile_error: options.OnTileError = options.TileError.FAIL,
    out: options.Out = None,
    landcover: options.Landcover = False,
    min_area: options.MinArea = 0.0,
    max_polygons: options.MaxPolygons = 5_000_000,
    date_t1: options.DateT1 = None,
    date_t2: options.DateT2 = None,
    overwrite: options.Overwrite = False,
    restart: options.Restart = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Find what changed between two images of one place, and from what to what.

    Writes change.tif, probability.tif, changes.gpkg and run.json into the output folder. After an interruption the
    same command goes on from where it was.
    """
    from geofcs.cli.progress import listener_for
    from geofcs.detect import detect as run
    from geofcs.model.shipped import named_or_shipped
    from geofcs.plan import DetectRequest
    from geofcs.remote import stem_of
    from geofcs.scene import SceneOptions

    folder = out or Path(f"{stem_of(t1)}_{stem_of(t2)}_change")
    scene = SceneOptions(
        bands=bands, bands_t1=bands_t1, bands_t2=bands_t2, aoi=aoi, mask_t1=mask_t1, mask_t2=mask_t2, scale=scale,
        scale_per_date=scale_per_date, resampling=resampling, assume_crs=assume_crs, assume_aligned=assume_aligned,
        allow_drivers=tuple(allow_driver or ()), allow_sources=tuple(allow_source or ()),
    )  # fmt: skip
    request = DetectRequest(
        t1=t1, t2=t2, out=folder.absolute(), weights=named_or_shipped(weights), scene=scene, tile=tile,
        overlap=overlap, threshold=threshold, batch=batch, device=device, precision=precision.value, tta=tta,
        threads=threads, workers=workers, worker_kind=worker_kind.value, on_tile_error=on_tile_error.value,
        scheduler=scheduler, landcover=landcover, min_area=min_area, max_polygons=max_polygons, date_t1=date_t1,
        date_t2=date_t2, overwrite=overwrite, restart=restart,
    )  # fmt: skip
    with listener_for(quiet=quiet, as_json=json) as listener, stopping_cleanly() as stop:
        record = run(request, listener, stop)
        listener.done(folder, record)
    check_complete(folder, record)


@contextmanager
def stopping_cleanly() -> Iterator[Callable[[], bool]]:
    """Gives what a run is to ask whether to stop; a run that did ends the command with the signal's exit code."""
    try:
        with signals.may_finish(SECONDS_TO_FINISH):
            yield signals.wanted
    except StoppedError:
        stderr.print("geofcs: stopped; what is finished stays: give the same command again to go on", markup=False)
        raise Exit(signals.exit_code) from None


def check_complete(folder: Path, run: dict[str, Any]) -> None:
    """Raise `IncompleteError` if a finished run has tiles that failed."""
    failed = run["oddities"]["tiles_failed"]
    if failed:
        raise IncompleteError(
            f"{folder}: is complete but for {len(failed)} tile(s) that could not be computed and are nodata; "
            "run.json lists them"
        )
