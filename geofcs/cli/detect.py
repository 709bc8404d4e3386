"""`geofcs detect`: two GeoTIFFs in, change rasters and from-to polygons out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Exit

from geofcs.cli import options
from geofcs.cli.signals import SECONDS_TO_FINISH, signals
from geofcs.cli.terminal import stderr
from geofcs.errors import StoppedError, UsageError
from geofcs.libraries import loading

if TYPE_CHECKING:
    from geofcs.cli.progress import RunListener
    from geofcs.plan import DetectRequest


def detect(
    t1: options.T1OrList = None,
    t2: options.T2OrList = None,
    pairs: options.Pairs = None,
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
    stall: options.Stall = 15.0,
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
    with loading():
        from geofcs.cli.progress import listener_for
        from geofcs.detect import check_complete
        from geofcs.detect import detect as run
        from geofcs.model.shipped import named_or_shipped
        from geofcs.plan import DetectRequest
        from geofcs.remote import stem_of
        from geofcs.scene import SceneOptions

    check_what(t1, t2, pairs)
    folder = out or Path(f"{stem_of(t1)}_{stem_of(t2)}_change" if t1 and t2 else ".")
    scene = SceneOptions(
        bands=bands, bands_t1=bands_t1, bands_t2=bands_t2, aoi=aoi, mask_t1=mask_t1, mask_t2=mask_t2, scale=scale,
        scale_per_date=scale_per_date, resampling=resampling, assume_crs=assume_crs, assume_aligned=assume_aligned,
        allow_drivers=tuple(allow_driver or ()), allow_sources=tuple(allow_source or ()),
    )  # fmt: skip
    request = DetectRequest(
        t1=t1 or "", t2=t2 or "", out=folder.absolute(), weights=named_or_shipped(weights), scene=scene, tile=tile,
        overlap=overlap, threshold=threshold, batch=batch, device=device, precision=precision.value, tta=tta,
        threads=threads, workers=workers, worker_kind=worker_kind.value, on_tile_error=on_tile_error.value,
        scheduler=scheduler, landcover=landcover, min_area=min_area, max_polygons=max_polygons, date_t1=date_t1,
        date_t2=date_t2, overwrite=overwrite, restart=restart, stall=stall * 60 or None,
    )  # fmt: skip
    with listener_for(quiet=quiet, as_json=json) as listener, stopping_cleanly() as stop:
        if pairs is not None:
            detect_list(pairs, request, out, listener, stop)
            return
        record = run(request, listener, stop)
        listener.done(folder, record)
    check_complete(folder, record)


def check_what(t1: str | None, t2: str | None, pairs: Path | None) -> None:
    """Raise `UsageError` unless either two scenes or a list are given."""
    if pairs is None and (t1 is None or t2 is None):
        raise UsageError("say which two scenes: geofcs detect T1 T2, or --pairs LIST.csv for many")
    if pairs is not None and t1 is not None:
        raise UsageError(f"--pairs {pairs}: names the scenes: leave {t1} out")


def detect_list(
    pairs: Path, template: DetectRequest, outputs: Path | None, listener: RunListener, stop: Callable[[], bool]
) -> None:
    """Run a list of pairs, say how each ended, and end the command with the worst exit code."""
    from geofcs.listing import read_pairs
    from geofcs.pairs import detect_pairs, exit_code_of

    results = detect_pairs(read_pairs(pairs, template, outputs), pairs, listener, stop)
    for result in results:
        if result.run is not None:
            listener.done(result.row.request.out, result.run)
    failed = [result for result in results if result.error]
    for result in failed:
        stderr.print(f"geofcs: {result.row.name}: {result.error}", style="red", markup=False, highlight=False)
    done = sum(result.run is not None for result in results)
    before = len(results) - done - len(failed)
    listener.note(f"{pairs}: {done} pair(s) done, {before} finished before, {len(failed)} failed")
    if failed:
        raise Exit(exit_code_of(results))


@contextmanager
def stopping_cleanly() -> Iterator[Callable[[], bool]]:
    """Gives what a run is to ask whether to stop; a run that did ends the command with the signal's exit code."""
    try:
        with signals.may_finish(SECONDS_TO_FINISH):
            yield signals.wanted
    except StoppedError:
        signals.leave("stopped; what is finished stays: give the same command again to go on")
