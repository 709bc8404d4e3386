"""From two paths and what the user said to a `ScenePair`: which pixels, which bands, which scaling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader

from geofcs.errors import InputError, UsageError
from geofcs.gdal import gdal_settings
from geofcs.grid import Grid, same_crs
from geofcs.scene.alignment import Warp, crs_text, overlap, place
from geofcs.scene.aoi import cut_to_aoi
from geofcs.scene.dates import acquisition_date
from geofcs.scene.doubts import doubts_of_collars, doubts_of_place, doubts_of_values
from geofcs.scene.files import RasterFile
from geofcs.scene.formats import Allowed
from geofcs.scene.options import SceneOptions
from geofcs.scene.pair import MaskLayer, SceneDate, ScenePair
from geofcs.scene.sample import SAMPLINGS, sample_windows
from geofcs.scene.source import LARGE_BLOCK_BYTES, Source, block_bytes, describe_source, mask_source, own_grid
from geofcs.scene.stretch import Stretch, parsed_stretch, percentile_stretch
from geofcs.scene.warp import checked_resampling


@dataclass(frozen=True)
class Found:
    """A scene as it was found: its source, its date, and what the user should know of it."""

    source: Source
    date: str | None
    notes: tuple[str, ...]


def plan_pair(t1: str, t2: str, options: SceneOptions) -> ScenePair:
    """Two scenes on the pixels of the first: its own where it is north-up, cut to what both cover and to the AOI.

    A pixel belongs to the grid if it lies in the bounding window of the pixels whose centres lie in T2 (and in the
    AOI). Reads headers, corners where scenes are uint8 and, unless both are or `options.scale` is given, a sample of
    pixels. Raises `InputError` for files that cannot be used, `UsageError` for options that mean nothing.
    """
    resampling = checked_resampling(options.resampling)
    with gdal_settings():
        first, second = _located(*_found_scenes(t1, t2, options), options)
        grid, aoi = _common_grid(first.source, second.source), None
        if options.aoi is not None:
            grid, aoi = cut_to_aoi(grid, options.aoi)
        pair = ScenePair(
            grid,
            _scene_date(first, grid, resampling, options.mask_t1, _allowed(options)),
            _scene_date(second, grid, resampling, options.mask_t2, _allowed(options)),
            aoi,
            (*first.notes, *second.notes),
        )
        notes = (*pair.notes, *_placement_notes(pair, options), *doubts_of_place(pair), *doubts_of_collars(pair))
        return _scaled(replace(pair, notes=notes), options)


def _found_scenes(t1: str, t2: str, options: SceneOptions) -> tuple[Found, Found]:
    crs, allowed = _assumed_crs(options.assume_crs), _allowed(options)
    first = _find("T1", t1, options.bands_t1 or options.bands, crs, allowed)
    second = _find("T2", t2, options.bands_t2 or options.bands, crs, allowed)
    return first, second


def _allowed(options: SceneOptions) -> Allowed:
    return Allowed(options.allow_drivers, options.allow_sources)


def _assumed_crs(name: str | None) -> CRS | None:
    try:
        return None if name is None else CRS.from_user_input(name)
    except CRSError as error:
        raise UsageError(f"--assume-crs {name}: is no CRS: write it as EPSG:32631") from error


def _find(date: str, path: str, wanted_bands: str | None, assume_crs: CRS | None, allowed: Allowed) -> Found:
    with RasterFile.found_at(path, allowed).inspected() as (file, dataset):
        grid = own_grid(file, dataset, assume_crs)
        source, reason = describe_source(file, dataset, grid, wanted_bands)
        return Found(source, acquisition_date(dataset), tuple(_file_notes(date, dataset, source, reason)))


def _file_notes(date: str, dataset: DatasetReader, source: Source, reason: str) -> Iterator[str]:
    label = "band" if len(source.labels) == 1 else "bands"
    yield f"{date} {source.file.name}: {label} {', '.join(source.labels)}: {reason}"
    if source.grid.crs and not dataset.crs:
        yield f"{date}: has no CRS, {crs_text(source.grid)} is assumed"
    if block_bytes(dataset) > LARGE_BLOCK_BYTES:
        size = block_bytes(dataset) / 2**20
        yield f"{date}: internal tiles of {size:.0f} MiB make reading slow; gdal_translate -co TILED=YES mends it"


def _located(first: Found, second: Found, options: SceneOptions) -> tuple[Found, Found]:
    """Both scenes, certain to have a CRS; or neither, where equal images are assumed aligned."""
    missing = [found.source for found in (first, second) if found.source.grid.crs is None]
    if not missing:
        return first, second
    equal = len(missing) == 2 and missing[0].grid.shape == missing[1].grid.shape
    if not (equal and options.assume_aligned):
        raise _no_crs(missing[0], options, equal)
    plain = Grid(None, Affine.identity(), *missing[0].grid.shape)
    return _moved(first, plain), _moved(second, plain)


def _moved(found: Found, grid: Grid) -> Found:
    return replace(found, source=replace(found.source, grid=grid))


def _no_crs(source: Source, options: SceneOptions, equal: bool) -> InputError:
    path, aligned = source.file.path, ", or --assume-aligned if both show the same pixels" if equal else ""
    if options.assume_aligned:
        return InputError(
            f"{path}: has no CRS, and --assume-aligned is for two images of one size that both have none: give it one "
            "with gdal_edit.py -a_srs"
        )
    if source.grid.transform.almost_equals(Affine.identity()):
        cure = f"give it a place with gdal_edit.py -a_srs and -a_ullr{aligned}"
        return InputError(f"{path}: has no CRS and no position on the earth: {cure}")
    return InputError(f"{path}: has no CRS: say which with --assume-crs EPSG:...{aligned}")


def _common_grid(first: Source, second: Source) -> Grid:
    """T1's pixels around those whose centres lie in T2."""
    if first.grid.crs is None:
        return first.grid
    grid = first.grid.north_up()
    return grid.crop(overlap(grid, second.grid, (first.file.path, second.file.path)))


def _scene_date(found: Found, grid: Grid, resampling: str | None, mask: str | None, allowed: Allowed) -> SceneDate:
    source = found.source
    placement = place(source.grid, grid, resampling, source.file.path)
    layer = None if mask is None else _mask_layer(mask, source, grid, allowed)
    return SceneDate(source, placement, layer, None, found.date)


def _mask_layer(path: str, scene: Source, grid: Grid, allowed: Allowed) -> MaskLayer:
    """How a mask comes onto the grid; one without CRS, of its scene's size, lies on its scene's pixels.

    Raises `InputError` for masks that cannot be placed, or lie elsewhere.
    """
    with RasterFile.found_at(path, allowed).inspected() as (file, dataset):
        own = own_grid(file, dataset, None)
        if own.crs is None or scene.grid.crs is None:
            if own.shape != scene.grid.shape:
                raise InputError(
                    f"{file.path}: has no CRS, and not the {scene.grid.width} x {scene.grid.height} pixels of "
                    f"{scene.file.path}: give a mask of its scene's size, or one with a CRS"
                )
            own = scene.grid
        source = mask_source(file, dataset, own)
    if own.crs is not None:
        overlap(grid, own, (scene.file.path, source.file.path))
    return MaskLayer(source, place(own, grid, "nearest", source.file.path))


def _placement_notes(pair: ScenePair, options: SceneOptions) -> Iterator[str]:
    if options.assume_aligned and pair.grid.crs is not None:
        yield "--assume-aligned has no effect: both scenes have a CRS"
    for name, scene in (("T1", pair.t1), ("T2", pair.t2)):
        if isinstance(scene.placement, Warp):
            own = scene.source.grid
            onto = "a north-up grid" if name == "T1" else "the pixels of T1"
            projected = "" if same_crs(own.crs, pair.grid.crs) else f", from {crs_text(own)} to {crs_text(pair.grid)}"
            yield f"{name}: is resampled onto {onto} ({scene.placement.resampling}){projected}"
    if pair.t1.source.is_scaled != pair.t2.source.is_scaled:
        scaled, other = ("T1", "T2") if pair.t1.source.is_scaled else ("T2", "T1")
        yield f"{scaled}: declares a scale or an offset, {other} none: check that both hold the same quantity"


def _scaled(pair: ScenePair, options: SceneOptions) -> ScenePair:
    """The pair with its radiometric scaling: none for uint8, else as asked for or from a sample of pixels."""
    wanted = [not pair.t1.source.is_bytes, not pair.t2.source.is_bytes]
    if options.scale is not None:
        stretch = parsed_stretch(options.scale, bands=3)
        return _with_stretches(pair, [stretch if each or not any(wanted) else None for each in wanted], [])
    if not any(wanted):
        return pair
    t1, t2 = _sample(pair)
    fill = (*doubts_of_values("T1", pair.t1, t1), *doubts_of_values("T2", pair.t2, t2))
    pair = replace(pair, notes=(*pair.notes, *fill))
    own = [percentile_stretch(t1), percentile_stretch(t2)]
    if options.scale_per_date or not all(wanted):
        return _with_stretches(pair, [each if want else None for each, want in zip(own, wanted, strict=True)], [])
    pooled = percentile_stretch(np.concatenate([t1, t2], axis=1))
    return _with_stretches(pair, [pooled, pooled], list(_doubts(own)))


def _with_stretches(pair: ScenePair, stretches: list[Stretch | None], notes: list[str]) -> ScenePair:
    told = _scaling_notes(*stretches)
    t1, t2 = (replace(scene, stretch=stretch) for scene, stretch in zip((pair.t1, pair.t2), stretches, strict=True))
    return replace(pair, t1=t1, t2=t2, notes=(*pair.notes, *told, *notes))


def _scaling_notes(first: Stretch | None, second: Stretch | None) -> list[str]:
    if first == second:
        return [f"both dates: values {first.text} become 0-255"] if first else []
    notes = [
        f"{date}: values {stretch.text} become 0-255" for date, stretch in (("T1", first), ("T2", second)) if stretch
    ]
    if len(notes) == 1:
        notes.append("one scene is uint8 and stays as it is, the other is scaled by itself: colours may differ")
    return notes


def _doubts(own: list[Stretch]) -> Iterator[str]:
    """What is odd about pooling dates with these percentiles of their own."""
    first, second = own
    apart = [
        max(low_1, low_2) > min(high_1, high_2)
        for low_1, high_1, low_2, high_2 in zip(first.low, first.high, second.low, second.high, strict=True)
    ]
    if all(apart):
        yield (
            f"the values of both dates have nothing in common (T1 {first.text}; T2 {second.text}): if their units "
            "differ, use --scale-per-date"
        )


def _sample(pair: ScenePair) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """(3, n) values of both dates at pixels valid in both; `InputError` if there are none."""
    with pair.open() as reader:
        for count, side in SAMPLINGS:
            windows = map(reader.read_values, sample_windows(pair.grid, count, side))
            parts = [(part.t1[:, part.valid], part.t2[:, part.valid]) for part in windows]
            t1, t2 = (np.concatenate(date, axis=1) for date in zip(*parts, strict=True))
            if t1.size:
                return t1, t2
    raise InputError(
        f"{pair.t1.path} and {pair.t2.path}: no pixel is valid on both dates: check nodata values, --mask-t1, "
        "--mask-t2 and --aoi, or give --scale MIN,MAX if only a few are"
    )
