"""What looks doubtful about a pair, as sentences for the user; nothing here decides a pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from geofcs.grid import Grid, PixelMap, same_crs
from geofcs.scene.alignment import Warp, crs_text
from geofcs.scene.pair import SceneDate, ScenePair

LITTLE = 0.01
"""Of both scenes: where they share less, one of them may be the wrong one."""

FILL = 0.01
"""Of a sample: so many pixels that all hold one and the same outermost value are hardly ground."""

COMMON_FILL = (0.0, -999.0)
"""Values that stand for "nothing here": zero, and what is no more than the second."""

METRES_PER_DEGREE = 111_320.0

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
    for name, scene in (("T1", pair.t1), ("T2", pair.t2)):
        if isinstance(scene.placement, Warp) and not same_crs(scene.source.grid.crs, pair.grid.crs):
            yield from _doubt_of_datum(name, scene.source.grid, pair.grid)


def _share(grid: Grid, scene: Grid) -> float:
    """The part of a scene that a grid covers."""
    per_pixel = abs(np.linalg.det(PixelMap(grid, scene).steps(grid.width / 2, grid.height / 2)))
    return float(per_pixel * grid.width * grid.height / (scene.width * scene.height))


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
    pixels = accuracy / _metres_per_pixel(grid)
    if pixels > 0.5:
        files = {each.short_name for way in ways.unavailable_operations for each in way.grids if not each.available}
        better = f"; PROJ would do better with {', '.join(sorted(files)[:3])} (projsync)" if files else ""
        yield (
            f"{name}: is brought from {crs_text(source)} to {crs_text(grid)} to within {accuracy:g} m, {pixels:.1f} "
            f"pixels: edges may look like change{better}"
        )


def _metres_per_pixel(grid: Grid) -> float:
    assert grid.crs is not None
    across = float(np.hypot(grid.transform.a, grid.transform.d))
    return across * (METRES_PER_DEGREE if grid.crs.is_geographic else grid.crs.linear_units_factor[1])


def doubts_of_values(name: str, scene: SceneDate, sample: Values) -> Iterator[str]:
    """About a (bands, n) sample of a scene that says of no pixel that it is invalid."""
    source = scene.source
    if source.nodata is not None or source.alpha is not None or source.mask_bands or scene.mask is not None:
        return
    for value in {float(sample.min()), float(sample.max())}:
        share = float((sample == value).all(axis=0).mean())
        if share >= FILL and share < 1 and _may_be_fill(value, source.dtype):
            yield (
                f"{name}: {100 * share:.0f} % of its pixels are {value:g} in every band, and nothing is declared "
                f"invalid: if that is fill, say so with gdal_edit.py -a_nodata {value:g}, or --mask-{name.lower()}"
            )


def _may_be_fill(value: float, dtype: str) -> bool:
    zero, least = COMMON_FILL
    limits = np.iinfo(dtype) if np.issubdtype(np.dtype(dtype), np.integer) else None
    return value == zero or value <= least or (limits is not None and value in (limits.min, limits.max))
