"""Which formats are read, and that no input makes GDAL read another file than it seems to be."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from geofcs.errors import InputError, UsageError
from geofcs.remote import Address
from geofcs.remote.address import ARCHIVES

GEOTIFF, VIRTUAL = "GTiff", "VRT"

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

SINGLE_FILES = (
    "AVIF", "BMP", "COG", "ECW", "ENVI", "GIF", GEOTIFF, "HEIF", "JP2ECW", "JP2KAK", "JP2MrSID", "JP2OpenJPEG", "JPEG",
    "JPEGXL", "MrSID", "NITF", "PNG", "PNM", "SGI", "WEBP",
)  # fmt: skip
"""GDAL's drivers for formats that hold their own pixels; files of all others may name further files and servers."""


@dataclass(frozen=True)
class Allowed:
    """What may be read besides GeoTIFFs: VRTs, `SINGLE_FILES`, archives (zip, tar, gzip), and where VRTs may point.

    A virtual raster may point into its own folder, and to files in those of `sources`; a list of pairs as well, to
    whatever begins with one of them, and to buckets and the public internet.
    """

    extra: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    archives: tuple[str, ...] = field(init=False)
    drivers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """`UsageError` for a name that is neither a driver that may be allowed nor an archive."""
        known = {name.lower(): name for name in (*SINGLE_FILES, VIRTUAL, *ARCHIVES)}
        for name in self.extra:
            if name.lower() not in known:
                raise UsageError(
                    f"--allow-driver {name}: is none of {', '.join((VIRTUAL, *ARCHIVES, *SINGLE_FILES))}, whose files "
                    "name no others unchecked: convert other formats with gdal_translate"
                )
        named = [known[name.lower()] for name in self.extra]
        object.__setattr__(self, "archives", tuple(name for name in named if name in ARCHIVES))
        object.__setattr__(self, "drivers", (GEOTIFF, *(name for name in named if name not in ARCHIVES)))


def may_be_named(target: Address, folder: Path, sources: tuple[str, ...]) -> bool:
    """Whether a file in `folder` may name another: one that lies there, or in one of the `sources`, links followed."""
    if not target.is_local:
        return any("://" in each and target.url.startswith(each.rstrip("/") + "/") for each in sources)
    folders = [folder, *(Path(each) for each in sources if "://" not in each)]
    resolved = Path(os.path.realpath(target.rest))
    return any(resolved.is_relative_to(os.path.realpath(each)) for each in folders)


def first_bytes(path: Path, count: int) -> bytes:
    """The beginning of a local file; `InputError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}): check its permissions") from error
