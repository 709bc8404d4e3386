"""Which vector files are read: formats that hold their own geometries and name no other file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from geofcs.errors import InputError
from geofcs.remote import fetched, parse_address

MAGIC = {
    b"SQLite format 3\0": "GeoPackage",
    b"\0\0\x27\x0a": "Shapefile",
    b"fgb\x03": "FlatGeobuf",
    b"PAR1": "GeoParquet",
}
"""What files begin with."""

BEGINNING = 1024


@contextmanager
def local_vector(text: str) -> Iterator[Path]:
    """A vector file on the disk, fetched for the time being if it is remote.

    Raises `InputError` if it is none of GeoPackage, Shapefile, FlatGeobuf, GeoParquet, GeoJSON and KML, by its content
    and whatever its name: other formats can point GDAL to files and servers of their choice.
    """
    address = parse_address(text)
    with TemporaryDirectory(prefix="geofcs-") as folder:
        path = Path(address.rest) if address.is_local else fetched(address, Path(folder))
        _check_format(path, address.shown)
        yield path


def _check_format(path: Path, shown: str) -> None:
    try:
        with path.open("rb") as file:
            beginning = file.read(BEGINNING)
    except (OSError, ValueError) as error:
        raise InputError(f"{shown}: cannot be read as a vector file ({error}): give one with polygons") from error
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_kml = text.startswith((b"<?xml", b"<kml")) and b"<kml" in text and b"<!" not in text.partition(b"<kml")[0]
    if not (beginning.startswith(tuple(MAGIC)) or text.startswith(b"{") or is_kml):
        raise InputError(
            f"{shown}: cannot be read as a vector file (it is none of {', '.join(MAGIC.values())}, GeoJSON and KML; "
            "ogr2ogr converts others): give one with polygons"
        )
