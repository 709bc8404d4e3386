"""What lies beside a raster on a disk and is named after it: GDAL is shown that only if it leads nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors reach the caller as these
from rasterio.errors import RasterioError

from geofcs.errors import InputError
from geofcs.scene.formats import GEOTIFF, TIFF_MAGIC, first_bytes

RASTERS = (".msk", ".ovr")
"""Side files that GDAL opens as rasters, by whichever driver takes them."""

TEXTS = (".txt", ".xml")
"""Endings of side files whose names go on behind the raster's with more than an ending, as in t1_rpc.txt."""

PIXELS_ONLY = ".aux.xml"
"""What GDAL remembers of a raster: it is told not to look (GDAL_PAM_ENABLED)."""


def listing_for(path: Path) -> str:
    """What GDAL_DISABLE_READDIR_ON_OPEN must be to open a raster: its folder is shown if anything there is named alike.

    Raises `InputError` if that leads to another file, or cannot be known.
    """
    beside = list(_named_after(path))
    for side in beside:
        _check(path, side)
    return "FALSE" if beside else "EMPTY_DIR"


def mask_beside(paths: Iterable[Path]) -> Path | None:
    """A file that GDAL would take for the mask of one of many rasters; errors as in `listing_for`."""
    there: dict[Path, set[str]] = {}
    for path in paths:
        if path.parent not in there:
            there[path.parent] = {name.casefold() for name in _names_beside(path)}
        mask = f"{path.name}.msk"
        if mask.casefold() in there[path.parent]:
            return path.with_name(mask)
    return None


def _named_after(path: Path) -> Iterator[Path]:
    """Side files of a raster; GDAL does not mind the case of their names."""
    stem = path.stem.casefold()
    for name in _names_beside(path):
        plain = name.casefold()
        is_text = plain.startswith(f"{stem}_") and plain.endswith(TEXTS)
        is_alike = plain.startswith(f"{stem}.") or is_text
        if is_alike and name != path.name and not plain.endswith(PIXELS_ONLY):
            yield path.with_name(name)


def _names_beside(path: Path) -> list[str]:
    try:
        with os.scandir(path.parent) as entries:
            return [entry.name for entry in entries]
    except OSError as error:  # GDAL would ask for them one by one
        names = [path.name + each for suffix in RASTERS for each in (suffix, suffix.upper())]
        if any(os.path.lexists(path.with_name(name)) for name in names):
            raise InputError(
                f"{path.parent}: cannot be listed ({error.strerror}), and a mask or overviews lie beside {path.name}: "
                "give yourself the right to read the folder"
            ) from error
        return []


def _check(path: Path, side: Path) -> None:
    """Raise `InputError` for a side file that GDAL would follow elsewhere, or wait for."""
    suffix = side.suffix.lower()
    if side.is_dir() and suffix not in RASTERS:
        return
    if not side.is_file():
        raise InputError(f"{side}: lies beside the scene but is no regular file: move it away")
    real, scene = Path(os.path.realpath(side)), Path(os.path.realpath(path))
    is_linked_alike = real.parent == scene.parent and real.name.startswith((f"{scene.stem}.", f"{scene.stem}_"))
    if not (is_linked_alike or real.is_relative_to(os.path.realpath(path.parent))):
        raise InputError(
            f"{side}: lies beside the scene but is a link to another folder: copy the file, or move it away"
        )
    if suffix in RASTERS and not is_geotiff(side):
        raise InputError(f"{side}: lies beside the scene as its {suffix} file but is no TIFF: move it away")


def is_geotiff(path: Path) -> bool:
    """Whether a file is a GeoTIFF and nothing else: its first four bytes hide all text. It is opened alone."""
    if first_bytes(path, 4) not in TIFF_MAGIC:
        return False
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            rasterio.open(path, driver=GEOTIFF).close()
    except (RasterioError, CPLE_BaseError, ValueError):
        return False
    return True
