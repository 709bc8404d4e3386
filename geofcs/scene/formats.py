"""Which formats are read, and that no input makes GDAL read another file than it seems to be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from geofcs.errors import InputError, UsageError
from geofcs.remote import Address, parse_address
from geofcs.remote.address import ARCHIVES

GEOTIFF, VIRTUAL = "GTiff", "VRT"

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SIDE_FILES = (".msk", ".ovr")
"""What GDAL opens beside a TIFF, by whichever driver takes it."""

MOST_VIRTUAL_BYTES = 2**24
MOST_NESTED = 3

SOURCES = ("SourceFilename", "SourceDataset")
"""Elements of a virtual raster that name a file."""

HARMFUL = ("PixelFunctionType", "PixelFunctionCode", "PixelFunctionLanguage", "KernelFilteredSource", "Algorithm")
"""Elements that make GDAL compute something, run code, or are never seen in virtual rasters of scenes."""


@dataclass(frozen=True)
class Allowed:
    """What may be read besides GeoTIFFs: GDAL drivers by name, archives (zip, tar, gzip), and where VRTs may point.

    A virtual raster may point into its own folder, and to whatever begins with one of `sources`; a list of pairs as
    well, and to buckets and the public internet besides.
    """

    extra: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    archives: tuple[str, ...] = field(init=False)
    drivers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """`UsageError` for a name that is neither a driver nor an archive."""
        for name in self.extra:
            if not re.fullmatch(r"[A-Za-z0-9_ -]+", name):
                raise UsageError(f"--allow-driver {name}: give the name of one GDAL driver, or zip, tar or gzip")
        object.__setattr__(self, "archives", tuple(name for name in self.extra if name in ARCHIVES))
        object.__setattr__(self, "drivers", (GEOTIFF, *(name for name in self.extra if name not in ARCHIVES)))


def check_side_files(address: Address) -> None:
    """Raise `InputError` if a mask or overview file beside a local raster is no TIFF: GDAL would follow it anywhere."""
    path = Path(address.rest)
    try:
        beside = [each for each in path.parent.iterdir() if each.name.startswith(f"{path.name}.")]
    except OSError:
        return  # a folder that cannot be listed hides its files from GDAL as well
    for side in beside:
        if side.suffix.lower() in SIDE_FILES and side.is_file() and _first_bytes(side, 4) not in TIFF_MAGIC:
            raise InputError(f"{side}: lies beside the scene as its {side.suffix} file but is no TIFF: move it away")


def check_virtual(address: Address, allowed: Allowed, depth: int = 0) -> None:
    """Raise `InputError` for a virtual raster that points where it must not, runs code, or cannot be looked into."""
    if VIRTUAL not in allowed.drivers or not address.is_local or address.archive:
        return
    path = Path(address.rest)
    if not _first_bytes(path, 512).lstrip().startswith((b"<VRTDataset", b"<?xml")):
        return
    if depth == MOST_NESTED:
        raise InputError(f"{path}: is a virtual raster of virtual rasters too deep: make it anew with gdalbuildvrt")
    for source in _sources_of(path):
        target = parse_address(source)
        if not may_be_named(target, path.parent, allowed.sources):
            raise InputError(
                f"{path}: points to {target.shown}, which lies elsewhere: allow that with --allow-source, or keep the "
                "sources in its own folder"
            )
        check_virtual(target, allowed, depth + 1)


def _sources_of(path: Path) -> Iterator[str]:
    """The files that a virtual raster names, relative ones made absolute."""
    if path.stat().st_size > MOST_VIRTUAL_BYTES:
        raise InputError(f"{path}: is too large for a virtual raster: make it anew with gdalbuildvrt")
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise InputError(f"{path}: defines entities, which no virtual raster needs: make it anew with gdalbuildvrt")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise InputError(f"{path}: is no virtual raster that can be understood ({error})") from error
    for element in root.iter():
        kind = element.get("subClass", "")
        if element.tag in HARMFUL or kind in ("VRTDerivedRasterBand", "VRTRawRasterBand", "VRTProcessedDataset"):
            raise InputError(
                f"{path}: is a virtual raster that computes or reads raw bytes ({kind or element.tag}): write it out "
                "with gdal_translate first"
            )
        if element.tag in SOURCES:
            name = (element.text or "").strip()
            relative = element.get("relativeToVRT", element.get("relativetoVRT", "0")) == "1"
            yield str(path.parent / name) if relative else name


def may_be_named(target: Address, folder: Path, sources: tuple[str, ...]) -> bool:
    """Whether a file in `folder` may name another: one that lies there, or in one of the `sources`, links followed."""
    if not target.is_local:
        return any("://" in each and target.url.startswith(each.rstrip("/") + "/") for each in sources)
    folders = [folder, *(Path(each) for each in sources if "://" not in each)]
    resolved = Path(os.path.realpath(target.rest))
    return any(resolved.is_relative_to(os.path.realpath(each)) for each in folders)


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): check its permissions") from error
