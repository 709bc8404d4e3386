"""What the user may say about a pair of scenes, as it was typed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneOptions:
    """How two scenes become a pair; None means "find out".

    `bands` are the red, green and blue of both scenes ("3,2,1", "red,green,blue", or one band), `bands_t1` and
    `bands_t2` of one. `aoi` is a vector file or "XMIN,YMIN,XMAX,YMAX" in T1's CRS, or with ",EPSG:4326" behind.
    `mask_t1` and `mask_t2` are rasters whose nonzero pixels are left out. `scale` is "MIN,MAX", the values that become
    0 and 255. `resampling` is a key of `geofcs.scene.warp.RESAMPLINGS`. `assume_crs` is the CRS of every scene without
    one; `assume_aligned` compares two equal images without CRS pixel by pixel. `allow_drivers` and `allow_sources` are
    as in `geofcs.scene.formats.Allowed`.
    """

    bands: str | None = None
    bands_t1: str | None = None
    bands_t2: str | None = None
    aoi: str | None = None
    mask_t1: str | None = None
    mask_t2: str | None = None
    scale: str | None = None
    scale_per_date: bool = False
    resampling: str | None = None
    assume_crs: str | None = None
    assume_aligned: bool = False
    allow_drivers: tuple[str, ...] = ()
    allow_sources: tuple[str, ...] = ()


def numbers_in(text: str) -> list[float] | None:
    """The numbers of a comma-separated list, or None if it is something else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return None
