"""Virtual rasters (VRT), on request: read, checked, and written anew, so that GDAL sees nothing but what was checked.

GDAL's parser differs from others in what it takes for a name, a text or the end of a document, and opens what a virtual
raster names by whichever driver likes it. It is therefore given a text of ours, which holds the few elements that a
mosaic of GeoTIFFs needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from geofcs.errors import InputError
from geofcs.remote import Address, FileState, parse_address, state_of
from geofcs.scene.beside import is_geotiff, mask_beside
from geofcs.scene.crs_files import checked_crs
from geofcs.scene.formats import VIRTUAL, Allowed, first_bytes, may_be_named

BEGINNING = 1024
"""How far GDAL looks for the name of the root element, wherever it stands, up to a zero byte."""

MOST_BYTES = 2**24
"""Of all that is read to write one anew, and of what is written."""

MOST_NESTED = 3

DEEPEST = 8
"""Elements within elements; the names of sources are five deep."""

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


@dataclass(frozen=True)
class _Found:
    """What was found so far in a virtual raster and in those within: the files that it names, and, for each virtual
    raster at a depth, its size and how it was written anew."""

    allowed: Allowed
    sources: dict[Address, FileState] = field(default_factory=dict)
    sizes: dict[tuple[Path, int], int] = field(default_factory=dict)
    texts: dict[tuple[Path, int], str] = field(default_factory=dict)


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
    found = _Found(allowed)
    text = _written_anew(Path(address.rest), found, 0)
    _check_masks([Path(each.rest) for each in (address, *found.sources)])
    return Virtual(text, tuple(found.sources.items()))


def _is_virtual(path: Path) -> bool:
    return b"<VRTDataset" in first_bytes(path, BEGINNING).partition(b"\0")[0]


def _written_anew(path: Path, found: _Found, depth: int) -> str:
    """A virtual raster as it may be opened, those that it names within; what it names goes into `found`."""
    if (path, depth) in found.texts:
        return found.texts[path, depth]
    if depth == MOST_NESTED:
        raise InputError(f"{path}: is a virtual raster of virtual rasters too deep: make it anew with gdalbuildvrt")
    found.sizes[path, depth] = path.stat().st_size
    if sum(found.sizes.values()) > MOST_BYTES:
        raise _too_large(path)
    root = _parsed(path)
    if root.tag != "VRTDataset":
        raise _more_than_a_mosaic(path, f"<{root.tag}>")
    _clean(path, root, 1)
    length = 0
    for element in root.iter(SOURCE):
        element.text = _source(path, element, found, depth)
        element.set("relativeToVRT", "0")
        length += len(element.text)
        if length > MOST_BYTES:
            raise _too_large(path)
    text = found.texts[path, depth] = ET.tostring(root, encoding="unicode")
    return text


def _check_masks(paths: list[Path]) -> None:
    """Raise `InputError` for a mask file, which GDAL is not let find beside a text and what that names."""
    mask = mask_beside(paths)
    if mask:
        raise InputError(
            f"{mask}: is the mask of a virtual raster or of a source of one, which is not read: write both out with "
            "gdal_translate, or move it away"
        )


def _parsed(path: Path) -> ET.Element:
    content = path.read_bytes()
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InputError(f"{path}: defines entities, which no virtual raster needs: make it anew with gdalbuildvrt")
    try:
        return ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise InputError(
            f"{path}: is no virtual raster that can be understood ({error}): make it anew with gdalbuildvrt"
        ) from error


def _clean(path: Path, element: ET.Element, depth: int) -> None:
    """Leave out what has no say in the pixels; raise `InputError` for all that a mosaic does not need."""
    if depth > DEEPEST:
        raise _more_than_a_mosaic(path, "elements too deep in each other")
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
            _clean(path, each, depth + 1)


def _crs_anew(path: Path, text: str) -> str:
    try:
        return checked_crs(text).to_wkt()
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _source(path: Path, element: ET.Element, found: _Found, depth: int) -> str:
    """What GDAL is told to open in place of a name: a GeoTIFF, or a virtual raster written anew."""
    name = (element.text or "").strip()
    try:
        target = parse_address(
            str(path.parent / name) if element.get("relativeToVRT") == "1" else name, found.allowed.archives
        )
    except InputError as error:
        raise InputError(f"{path}: points to {error}") from error
    if target.archive:
        raise InputError(f"{path}: points to {target.shown}, which lies in an archive: unpack that")
    if not target.is_local:  # what is empty and what did not come cannot be told apart in a virtual raster
        raise InputError(f"{path}: points to {target.shown}, which lies on a server: download that into its folder")
    if not may_be_named(target, path.parent, found.allowed.sources):
        raise InputError(
            f"{path}: points to {target.shown}, which lies elsewhere: allow that with --allow-source, or keep the "
            "sources in its own folder"
        )
    is_known = target in found.sources
    if not is_known:
        found.sources[target] = state_of(target)
    if _is_virtual(Path(target.rest)):
        return _written_anew(Path(target.rest), found, depth + 1)
    if not is_known:
        _check_is_tiff(path, target)
    return target.gdal


def _check_is_tiff(path: Path, target: Address) -> None:
    """Raise `InputError` unless a source is a GeoTIFF, alone."""
    if "<" in target.gdal:
        raise InputError(f"{path}: points to {target.shown}, which GDAL would not take for a name: rename it")
    if not is_geotiff(Path(target.rest)):
        raise InputError(f"{path}: points to {target.shown}, which is no GeoTIFF: convert that with gdal_translate")


def _more_than_a_mosaic(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: is a virtual raster with {what}, more than a mosaic needs, and may compute or read anything: if you "
        "trust it, write it out with gdal_translate first"
    )


def _too_large(path: Path) -> InputError:
    return InputError(f"{path}: is too large for a virtual raster: make it anew with gdalbuildvrt")
