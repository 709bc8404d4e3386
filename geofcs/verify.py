"""Whether a finished output still is what its run wrote, file by file, bit by bit, and can be read to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from geofcs.errors import InputError, VerificationError
from geofcs.gdal import gdal_settings
from geofcs.journal import RUN_FILE
from geofcs.records import describe, read_sealed
from geofcs.vector.check import check_pages, check_polygons


@dataclass(frozen=True)
class Verified:
    """What was found to be as it was written."""

    files: int
    bytes: int
    polygons: int


def verify(out: Path) -> Verified:
    """Check every file of an output against run.json, decode all of it, and look at every polygon.

    Raises `VerificationError` that names each file that is damaged, `InputError` where there is no output.
    """
    run = _record(out)
    faults = list(_faults(out, run))
    if faults:
        raise VerificationError(
            f"{out}: {'; '.join(faults)}: copy what is named from where it is whole, or detect again with --overwrite"
        )
    sizes = [int(described["bytes"]) for described in run["outputs"].values()]
    return Verified(len(sizes) + 1, sum(sizes) + (out / RUN_FILE).stat().st_size, run["counts"]["polygons"])


def _record(out: Path) -> dict[str, Any]:
    if not out.is_dir():
        raise InputError(f"{out}: is no folder: name the output folder of geofcs detect")
    if not (out / RUN_FILE).exists():
        if (out / "change.tif").exists():
            raise VerificationError(f"{out}: {RUN_FILE} is missing: nothing tells any more what the run wrote")
        raise InputError(f"{out}: holds no {RUN_FILE}: name the output folder of a finished geofcs detect")
    try:
        return read_sealed(out / RUN_FILE)
    except InputError as error:
        raise VerificationError(f"{out}: {RUN_FILE} is damaged: nothing tells any more what the run wrote") from error


def _faults(out: Path, run: dict[str, Any]) -> Iterator[str]:
    """What is wrong, each beginning with the name of a file."""
    for name, described in run["outputs"].items():
        path = out / name
        if Path(name).name != name:
            yield f"{name!r} is not the name of a file in it"
        elif not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != described["bytes"]:
            yield f"{name} has {path.stat().st_size} bytes instead of {described['bytes']}"
        elif describe(path) != described:
            yield f"{name} is not what was written (its SHA-256 differs)"
        elif path.suffix in _READ:
            try:
                _READ[path.suffix](path, run)
            except VerificationError as error:
                yield str(error)


def _decode(path: Path, _run: dict[str, Any]) -> None:
    """Read every block of a raster and of its overviews."""
    try:
        with gdal_settings(), rasterio.open(path, driver="GTiff") as file:
            if file.tags(ns="OVERVIEWS"):  # GDAL would open the file that is named there
                raise VerificationError(f"{path.name} names another file as its overviews")
            levels: list[int | None] = [None, *range(len(file.overviews(1)))]
        for level in levels:
            chosen = {} if level is None else {"overview_level": level}
            with gdal_settings(), rasterio.open(path, driver="GTiff", **chosen) as file:
                for _, window in file.block_windows(1):
                    file.read(1, window=window)
    except RasterioError as error:
        raise VerificationError(f"{path.name} cannot be decoded ({error})") from error


def _read_polygons(path: Path, run: dict[str, Any]) -> None:
    check_pages(path, run["counts"]["polygons"])
    check_polygons(path)


_READ: dict[str, Callable[[Path, dict[str, Any]], None]] = {".tif": _decode, ".gpkg": _read_polygons}
"""By ending, what reads all of a file that has the right hash: it may have been written wrong."""
