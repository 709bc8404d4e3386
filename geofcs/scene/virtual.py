"""Virtual rasters (VRT), on request: read, checked, and written anew, so that GDAL sees nothing but what was checked.

GDAL's parser differs from others in what it takes for a name, a text or the end of a document, and opens what a virtual
raster names by whichever driver likes it. It is therefore given a text of ours, which holds the few elements that a
mosaic of GeoTIFFs needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors reach the caller as these
from rasterio.errors import RasterioError

from geofcs.errors import InputError
from geofcs.remote import Address, FileState, parse_address, state_of
from geofcs.scene.crs_files import checked_crs
from geofcs.scene.formats import (
    GEOTIFF,
    VIRTUAL,
    Allowed,
    check_side_files,
    first_bytes,
    may_be_named,
)  # fmt: skip

BEGINNING = 1024
"""How far GDAL looks for the name of the root element, wherever it stands, up to a zero byte."""

MOST_BYTES = 2**24
MOST_NESTED = 3

TEXTS = frozenset(
    {"GeoTransform", "NoDataValue", "HideNoDataValue", "ColorInterp", "Description", "UnitType", "Offset", "Scale",
     "Category", "MDI", "BlockXSize", "BlockYSize", "SourceBand", "NODATA", "UseMaskBand", "ScaleOffset", "ScaleRatio",
     "ColorTableComponent", "SRS"}
)  # fmt: skip
"""Elements that hold a text."""

GROUPS = frozenset(
    {"VRTDataset", "VRTRasterBand", "MaskBand", "Metadata", "CategoryNames", "ColorTable", "SimpleSource",
     "ComplexSource"}
)  # fmt: skip
"""Elements that hold elements."""

EMPTY = frozenset({"SourceProperties", "SrcRect", "DstRect", "Entry"})
"""Elements that hold attributes."""

SOURCE = "SourceFilename"

UNUSED = frozenset({"Histograms", "Overview", "OverviewList", "GDALRasterAttributeTable"})
"""Elements that have no say in the pixels: they are left out."""

ATTRIBUTES = frozenset(
    {"rasterXSize", "rasterYSize", "dataAxisToSRSAxisMapping", "coordinateEpoch", "dataType", "band", "blockXSize",
     "blockYSize", "domain", "key", "relativeToVRT", "shared", "resampling", "RasterXSize", "RasterYSize", "DataType",
     "BlockXSize", "BlockYSize", "xOff", "yOff", "xSize", "ySize", "c1", "c2", "c3", "c4"}
)  # fmt: skip

METADATA = ("", "IMAGE_STRUCTURE", "RPC")
"""Domains of metadata that are kept; in others GDAL could find the name of a file with overviews."""


@dataclass(frozen=True)
class Virtual:
    """What GDAL is given of a virtual raster, and the files that it names, as they were when it was checked."""

    text: str = field(repr=False)
    sources: tuple[tuple[Address, FileState], ...]


def virtual_raster(address: Address, allowed: Allowed) -> Virtual | None:
    """The virtual raster at an address; None if there is none, or if none is allowed.

    Raises `InputError` if it names what it must not, is more than a mosaic, or cannot be checked where it lies.
    """
    if VIRTUAL not in allowed.drivers:
        return None
    if not address.is_local or address.archive:
        if address.name.lower().endswith(".vrt"):
            raise InputError(
                f"{address.shown}: is a virtual raster on a server or in an archive, where it cannot be checked: copy "
                "it to a folder of this machine, with the files that it names"
            )
        return None
    if not _is_virtual(Path(address.rest)):
        return None
    sources: dict[Address, FileState] = {}
    text = _written_anew(Path(address.rest), allowed, sources, 0)
    return Virtual(text, tuple(sources.items()))


def _is_virtual(path: Path) -> bool:
    return b"<VRTDataset" in first_bytes(path, BEGINNING).partition(b"\0")[0]


def _written_anew(path: Path, allowed: Allowed, sources: dict[Address, FileState], depth: int) -> str:
    """A virtual raster as it may be opened, those that it names within; the files that it names go into `sources`."""
    if depth == MOST_NESTED:
        raise InputError(f"{path}: is a virtual raster of virtual rasters too deep: make it anew with gdalbuildvrt")
    root = _parsed(path)
    if root.tag != "VRTDataset":
        raise _more_than_a_mosaic(path, f"<{root.tag}>")
    _clean(path, root)
    _check_mask(path)
    length = 0
    for element in root.iter(SOURCE):
        element.text = _source(path, element, allowed, sources, depth)
        element.set("relativeToVRT", "0")
        length += len(element.text)
        if length > MOST_BYTES:
            raise _too_large(path)
    return ET.tostring(root, encoding="unicode")


def _check_mask(path: Path) -> None:
    """Raise `InputError` for a mask beside a virtual raster: GDAL would find it, but not beside a text."""
    mask = Path(f"{path}.msk")
    if mask.exists():
        raise InputError(
            f"{mask}: is the mask of a virtual raster, which is not read: write both out with gdal_translate, or move "
            "it away"
        )


def _parsed(path: Path) -> ET.Element:
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(path)
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InputError(f"{path}: defines entities, which no virtual raster needs: make it anew with gdalbuildvrt")
    try:
        return ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise InputError(
            f"{path}: is no virtual raster that can be understood ({error}): make it anew with gdalbuildvrt"
        ) from error


def _clean(path: Path, element: ET.Element) -> None:
    """Leave out what has no say in the pixels; raise `InputError` for all that a mosaic does not need."""
    for name, value in element.items():
        if name == "subClass" and value != "VRTSourcedRasterBand":
            raise _more_than_a_mosaic(path, f"subClass {value}")
        if name not in (*ATTRIBUTES, "subClass"):
            raise _more_than_a_mosaic(path, f"{name} of <{element.tag}>")
    if element.tag == "SRS" and (element.text or "").strip():
        element.text = _crs_anew(path, element.text or "")
    if element.tag not in GROUPS:
        if len(element) or element.tag not in (*TEXTS, *EMPTY, SOURCE):
            raise _more_than_a_mosaic(path, f"<{element.tag}>")
        return
    for each in list(element):
        is_other_metadata = each.tag == "Metadata" and each.get("domain", "") not in METADATA
        if each.tag in UNUSED or is_other_metadata:
            element.remove(each)
        else:
            _clean(path, each)


def _crs_anew(path: Path, text: str) -> str:
    try:
        return checked_crs(text).to_wkt()
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _source(path: Path, element: ET.Element, allowed: Allowed, sources: dict[Address, FileState], depth: int) -> str:
    """What GDAL is told to open in place of a name: a GeoTIFF, or a virtual raster written anew."""
    name = (element.text or "").strip()
    try:
        target = parse_address(
            str(path.parent / name) if element.get("relativeToVRT") == "1" else name, allowed.archives
        )
    except InputError as error:
        raise InputError(f"{path}: points to {error}") from error
    if target.archive:
        raise InputError(f"{path}: points to {target.shown}, which lies in an archive: unpack that")
    if not target.is_local:  # what is empty and what did not come cannot be told apart in a virtual raster
        raise InputError(f"{path}: points to {target.shown}, which lies on a server: download that into its folder")
    if not may_be_named(target, path.parent, allowed.sources):
        raise InputError(
            f"{path}: points to {target.shown}, which lies elsewhere: allow that with --allow-source, or keep the "
            "sources in its own folder"
        )
    is_known = target in sources
    if not is_known:
        sources[target] = state_of(target)
    if _is_virtual(Path(target.rest)):
        return _written_anew(Path(target.rest), allowed, sources, depth + 1)
    if not is_known:
        _check_is_tiff(path, target)
    return target.gdal


def _check_is_tiff(path: Path, target: Address) -> None:
    """Raise `InputError` unless a source is a GeoTIFF, and nothing else: its first four bytes hide all text."""
    check_side_files(target)
    if "<" in target.gdal:
        raise InputError(f"{path}: points to {target.shown}, which GDAL would not take for a name: rename it")
    if not _opens(target):
        raise InputError(f"{path}: points to {target.shown}, which is no GeoTIFF: convert that with gdal_translate")


def _opens(target: Address) -> bool:
    try:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            rasterio.open(target.gdal, driver=GEOTIFF).close()
    except (RasterioError, CPLE_BaseError, ValueError):
        return False
    return True


def _more_than_a_mosaic(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: is a virtual raster with {what}, more than a mosaic needs, and may compute or read anything: if you "
        "trust it, write it out with gdal_translate first"
    )


def _too_large(path: Path) -> InputError:
    return InputError(f"{path}: is too large for a virtual raster: make it anew with gdalbuildvrt")
