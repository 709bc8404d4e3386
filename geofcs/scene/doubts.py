"""What looks doubtful about a pair, as sentences for the user; nothing here decides a pixel."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyproj
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup
from rasterio.windows import Window

from geofcs.errors import SourceError
from geofcs.grid import Grid, PixelMap, applied, same_crs
from geofcs.scene.alignment import Warp, crs_text
from geofcs.scene.pair import SceneDate, ScenePair

LITTLE = 0.01
"""Of both scenes: where they share less, one of them may be the wrong one."""

FILL = 0.01
"""Of a sample: so many pixels that all hold one and the same outermost value are hardly ground."""

COMMON_FILL = (0.0, -999.0)
"""Values that stand for "nothing here": zero, and what is no more than the second."""

COLLAR = (0.0, 255.0)
"""What bytes hold around a scene that was turned: black or white."""

CORNER = 64
"""Pixels a side of what is looked at in each corner."""

LEAST_COLLAR = 0.02
"""Of a corner, that a collar takes at least."""

FEWEST_CORNERS = 3
"""With a collar; the sea or a field of snow may well take two."""

MOST_SQUEEZED = 1.25
"""How much longer than wide, or wider than long, pixels may be on the ground: degrees are, beyond 37 degrees north."""

Values = npt.NDArray[np.floating]


def doubts_of_place(pair: ScenePair) -> Iterator[str]:
    """About how two scenes lie on each other."""
    if pair.grid.crs is None:
        return
    shares = [_share(pair.grid, scene.source.grid) for scene in (pair.t1, pair.t2)]
    if max(shares) < LITTLE and pair.aoi is None:
        yield (
            f"T1 and T2 share {pair.grid.width} x {pair.grid.height} pixels, {100 * max(shares):.2g} % of either scene "
            "at most: are they the pair that was meant?"
        )
    yield from _doubt_of_shape(pair.grid)
    for name, scene in (("T1", pair.t1), ("T2", pair.t2)):
        if isinstance(scene.placement, Warp) and not same_crs(scene.source.grid.crs, pair.grid.crs):
            yield from _doubt_of_datum(name, scene.source.grid, pair.grid)


def _share(grid: Grid, scene: Grid) -> float:
    """The part of a scene that a grid covers."""
    per_pixel = abs(np.linalg.det(PixelMap(grid, scene).steps(grid.width / 2, grid.height / 2)))
    return float(per_pixel * grid.width * grid.height / (scene.width * scene.height))


def _doubt_of_shape(grid: Grid) -> Iterator[str]:
    """Where pixels are far from square on the ground."""
    across, down = _metres_per_pixel(grid)
    if max(across, down) > MOST_SQUEEZED * min(across, down):
        yield (
            f"T1: its pixels are {across:.3g} m wide and {down:.3g} m high on the ground, and models know square ones: "
            "gdalwarp -t_srs brings it to a projected CRS, such as its UTM zone"
        )


def _doubt_of_datum(name: str, source: Grid, grid: Grid) -> Iterator[str]:
    """Where the way from one CRS to the other is known to half a pixel only, or worse."""
    assert source.crs is not None
    assert grid.crs is not None
    try:
        with warnings.catch_warnings():  # that a better way is not there is told below
            warnings.simplefilter("ignore")
            ways = TransformerGroup(source.crs.to_wkt(), grid.crs.to_wkt(), always_xy=True)
    except ProjError:
        return
    accuracy = ways.transformers[0].accuracy if ways.transformers else -1.0
    pixels = accuracy / min(_metres_per_pixel(grid))
    if pixels > 0.5:
        files = {each.short_name for way in ways.unavailable_operations for each in way.grids if not each.available}
        better = f"; PROJ would do better with {', '.join(sorted(files)[:3])} (projsync)" if files else ""
        yield (
            f"{name}: is brought from {crs_text(source)} to {crs_text(grid)} to within {accuracy:g} m, {pixels:.1f} "
            f"pixels: edges may look like change{better}"
        )


def _metres_per_pixel(grid: Grid) -> tuple[float, float]:
    """How wide and how high the pixel in the middle is on the ground."""
    assert grid.crs is not None
    col, row = grid.width / 2, grid.height / 2
    (x, right, below), (y, beside, down) = applied(grid.transform, [col, col + 1, col], [row, row, row + 1])
    if grid.crs.is_geographic:
        geod = pyproj.CRS.from_user_input(grid.crs).get_geod()
        assert geod is not None, "whatever has longitudes has an ellipsoid"
        return float(geod.inv(x, y, right, beside)[2]), float(geod.inv(x, y, below, down)[2])
    metres = grid.crs.linear_units_factor[1]
    return float(np.hypot(right - x, beside - y)) * metres, float(np.hypot(below - x, down - y)) * metres


def _says_what_is_invalid(scene: SceneDate) -> bool:
    source = scene.source
    return bool(source.nodata is not None or source.alpha is not None or source.mask_bands or scene.mask is not None)


def doubts_of_collars(pair: ScenePair) -> Iterator[str]:
    """About scenes of bytes that say of no pixel that it is invalid: what lies in their corners.

    Of bytes any value may be ground; a collar is told by being one value to the last pixel, in most corners, with
    straight or stepped edges, which neither the darkest water nor the whitest snow is. What cannot be read is no doubt.
    """
    dates = [
        (name, number)
        for number, (name, scene) in enumerate((("T1", pair.t1), ("T2", pair.t2)))
        if scene.source.is_bytes and not scene.source.palette and not _says_what_is_invalid(scene)
    ]
    if not dates:
        return
    try:
        corners = list(_corners(pair))
    except SourceError:
        return
    for (name, number), value in itertools.product(dates, COLLAR):
        if sum(_has_collar(corner[number], valid, value) for *corner, valid in corners) >= FEWEST_CORNERS:
            white = " -white" if value else ""
            yield (
                f"{name}: its corners are {value:g} in every band, and nothing is declared invalid: if that is fill, "
                f"say so with nearblack{white} -setalpha -o MARKED.tif, or --mask-{name.lower()}"
            )


def _corners(pair: ScenePair) -> Iterator[tuple[Values, Values, npt.NDArray[np.bool_]]]:
    """T1, T2 and validity in each corner of the grid, turned so that the corner is the first pixel."""
    height, width = (min(length, CORNER) for length in pair.grid.shape)
    with pair.open() as reader:
        for down, along in itertools.product((1, -1), (1, -1)):
            top, left = 0 if down > 0 else pair.grid.height - height, 0 if along > 0 else pair.grid.width - width
            part = reader.read_values(Window(left, top, width, height))
            yield part.t1[:, ::down, ::along], part.t2[:, ::down, ::along], part.valid[::down, ::along]


def _has_collar(values: Values, valid: npt.NDArray[np.bool_], value: float) -> bool:
    """Whether one value lies around the first pixel without a gap, behind an edge that only ever goes one way."""
    of_value = (values == value).all(axis=0) & valid
    if not of_value[0, 0]:
        return False

    from scipy import ndimage  # takes a third of a second: few scenes have such a corner

    labels, _ = ndimage.label(of_value)
    collar = labels == labels[0, 0]
    if collar.mean() < LEAST_COLLAR:
        return False
    steps = np.count_nonzero(collar[1:] != collar[:-1]) + np.count_nonzero(collar[:, 1:] != collar[:, :-1])
    return bool(steps <= sum(collar.shape))


def doubts_of_values(name: str, scene: SceneDate, sample: Values) -> Iterator[str]:
    """About a (bands, n) sample of a scene that says of no pixel that it is invalid; of bytes the corners tell more."""
    if scene.source.is_bytes or _says_what_is_invalid(scene):
        return
    for value in {float(sample.min()), float(sample.max())}:
        share = float((sample == value).all(axis=0).mean())
        if share >= FILL and share < 1 and _may_be_fill(value, scene.source.dtype):
            yield (
                f"{name}: {100 * share:.0f} % of its pixels are {value:g} in every band, and nothing is declared "
                f"invalid: if that is fill, say so with gdal_edit.py -a_nodata {value:g}, or --mask-{name.lower()}"
            )


def _may_be_fill(value: float, dtype: str) -> bool:
    zero, least = COMMON_FILL
    limits = np.iinfo(dtype) if np.issubdtype(np.dtype(dtype), np.integer) else None
    return value == zero or value <= least or (limits is not None and value in (limits.min, limits.max))
