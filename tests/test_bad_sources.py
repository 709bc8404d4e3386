"""What bad sources get from the commands: a table of what is wrong, the exit code, and what the one line says."""

from __future__ import annotations

import json
import pickle
import re
import signal
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from geofcs.classes import SECOND
from geofcs.cli.app import main
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from tests.commands import end_here
from tests.torture.faults import BAD_INPUT, tell

UTM = CRS.from_epsg(32631)
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)
SECRET = "/etc/hostname"


@dataclass(frozen=True)
class Case:
    """What is typed, after `make` has put something into the folder, and all that is said.

    `{}` in arguments is the folder, DIR in the message, a regular expression; only the reasons that libraries give are
    left open.
    """

    name: str
    make: Callable[[Path], object]
    arguments: str
    exit_code: int
    message: str


def scene(path: Path, bands: int = 3, dtype: str = "uint8", fill: complex = 90, **profile: Any) -> Path:
    """A GeoTIFF of 80 x 100 pixels."""
    settings = {"crs": UTM, "transform": PLACE, "height": 80, "width": 100} | profile
    with rasterio.open(path, "w", driver="GTiff", count=bands, dtype=dtype, **settings) as file:
        file.write(np.full((bands, file.height, file.width), fill, dtype))
    return path


def scene_at(name: str, **profile: Any) -> Callable[[Path], object]:
    return lambda folder: scene(folder / name, **profile)


def text_at(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def nothing(_folder: Path) -> None:
    pass


def with_gcps(folder: Path) -> None:
    with rasterio.open(folder / "b.tif", "w", driver="GTiff", count=3, dtype="uint8", height=80, width=100) as file:
        file.gcps = ([GroundControlPoint(row, col, col, row) for row, col in ((0, 0), (0, 9), (9, 0), (9, 9))], UTM)


def with_alpha(folder: Path) -> None:
    scene(folder / "b.tif", bands=4)
    with rasterio.open(folder / "b.tif", "r+") as file:
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def cut_short(share: float) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        content = scene(folder / "b.tif").read_bytes()
        (folder / "b.tif").write_bytes(content[: int(len(content) * share)])

    return make


def huge(folder: Path) -> None:
    """A sparse file that claims internal tiles of 1.5 GiB."""
    with rasterio.open(
        folder / "b.tif", "w", driver="GTiff", count=1, dtype="uint8", height=70_000, width=70_000, crs=UTM,
        transform=PLACE, tiled=True, blockxsize=49_152, blockysize=32_768, sparse_ok=True, BIGTIFF="YES",
    ):  # fmt: skip
        pass


def unreadable(folder: Path) -> None:
    scene(folder / "b.tif").rename(folder / "b")
    (folder / "b.tif").symlink_to(folder / "b.tif")


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.write(folder / "good.tif", "b.tif")
    return folder / "b.zip"


def vrt(sources: str, band: str = "") -> str:
    return (
        "<VRTDataset rasterXSize='100' rasterYSize='80'><SRS>EPSG:32631</SRS><GeoTransform>500000, 0.5, 0, 4600000, 0, "
        f"-0.5</GeoTransform><VRTRasterBand dataType='Byte' band='1'{band}>{sources}</VRTRasterBand></VRTDataset>"
    )


def simple(name: str, relative: int = 1) -> str:
    return (
        f"<SimpleSource><SourceFilename relativeToVRT='{relative}'>{name}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource>"
    )


PIPELINE = '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read good.tif"}'
RAW = f"<SourceFilename relativeToVRT='0'>{SECRET}</SourceFilename><ImageOffset>0</ImageOffset>"
PYTHON = "<PixelFunctionType>f.f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"


def bytes_of_tiff(width: int, height: int) -> bytes:
    """A TIFF of nothing but a directory that claims a size."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
               (278, 4, height), (279, 4, 0xFFFFFFF0)]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)


class Harm:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


BOTH = "detect {}/good.tif {}/b.tif -o {}/out"
FIRST = "detect {}/b.tif {}/good.tif -o {}/out"
GOOD = "detect {}/good.tif {}/good.tif -o {}/out"
AOI = f"{GOOD} --aoi {{}}/area"
WEIGHTS = f"{GOOD} --weights {{}}/w.safetensors"
VIRTUAL = f"{BOTH} --allow-driver VRT"
NO_FILE = "is not the name of a file: give a path, or an address that begins with https://, s3://, gs:// or az://"
NO_ADDRESS = (
    "is no address that geofcs reads: give a path, or an address that begins with https://, s3://, gs:// or az://"
)
NO_SYSTEM = (
    "is no file system that geofcs reads: give a path, or an address that begins with https://, s3://, gs:// or az://"
)
NO_ARCHIVE = (
    r"/vsizip/\.\.\.: archives are not looked into unasked: unpack it, or, for scenes and masks, add "
    "--allow-driver zip"
)
ELSEWHERE = ", which lies elsewhere: allow that with --allow-source, or keep the sources in its own folder"
ON_SERVER = ", which lies on a server: download that into its folder"
MORE = (
    ", more than a mosaic needs, and may compute or read anything: if you trust it, write it out with "
    "gdal_translate first"
)
BANDS = r", its bands are 1 \(red\), 2 \(green\), 3 \(blue\): name these with --bands"
NO_VECTOR = (
    r"cannot be read as a vector file \(it is none of GeoPackage, Shapefile, FlatGeobuf, GeoParquet, "
    r"GeoJSON and KML; ogr2ogr converts others\): give one with polygons"
)
NO_PIPELINE = (
    r"cannot be read as a vector file \(JSON of the type 'gdal_streamed_alg' is no GeoJSON\): give one with polygons"
)
NOTHING_VALID = (
    ": no pixel is valid on both dates: check nodata values, --mask-t1, --mask-t2 and --aoi, or give "
    "--scale MIN,MAX if only a few are"
)
NO_SCALE = ": give MIN,MAX, two numbers that become 0 and 255, as in 0,3000"
NO_TIFF = (
    r": cannot be opened as a GeoTIFF \(.+\): if it is another format, convert it with gdal_translate; "
    "else it is damaged and must be copied again"
)
NO_TENSORS = (
    r": is not a safetensors file, or is cut short \(.+\): copy it again; published \.pth files are "
    "converted by geofcs weights import"
)

CASES = [
    # Names (59, 87)
    Case("missing", nothing, BOTH, 3, r"DIR/b\.tif: no such file: check the path"),
    Case("missing, T1", nothing, FIRST, 3, r"DIR/b\.tif: no such file: check the path"),
    Case("folder", lambda f: (f / "b.tif").mkdir(), BOTH, 3, r"DIR/b\.tif: is a folder: name one file in it"),
    Case("empty", text_at("b.tif", ""), BOTH, 3, r"DIR/b\.tif: is empty \(0 bytes\): copy or download it again"),
    Case("device", nothing, "detect {}/good.tif /dev/zero -o {}/out", 3,
         r"/dev/zero: is no regular file \(a pipe or a device\): copy it to a file first"),
    Case("loop of links", unreadable, BOTH, 3,
         r"DIR/b\.tif: cannot be read \(Too many levels of symbolic links\): check the path and its "
         "permissions"),
    Case("file as folder", nothing, "detect {}/good.tif {}/good.tif/b.tif -o {}/out", 3,
         r"DIR/good\.tif/b\.tif: cannot be read \(Not a directory\): check the path and its permissions"),
    Case("inline XML", nothing, "detect {}/good.tif <VRTDataset/> -o {}/out", 3, f"<VRTDataset/>: {NO_FILE}"),
    Case("vrt://", nothing, "detect {}/good.tif vrt://{}/good.tif?bands=1 -o {}/out", 3,
         rf"vrt://\.\.\.: {NO_ADDRESS}"),
    Case("zip://", nothing, "detect {}/good.tif zip://{}/b.zip!b.tif -o {}/out", 3, rf"zip://\.\.\.: {NO_ADDRESS}"),
    Case("file://", nothing, "detect {}/good.tif file://{}/good.tif -o {}/out", 3, rf"file://\.\.\.: {NO_ADDRESS}"),
    Case("ftp://", nothing, "detect {}/good.tif ftp://127.0.0.1/b.tif -o {}/out", 3, rf"ftp://\.\.\.: {NO_ADDRESS}"),
    Case("/vsimem/", nothing, "detect {}/good.tif /vsimem/b.tif -o {}/out", 3, rf"/vsimem/\.\.\.: {NO_SYSTEM}"),
    Case("/vsistdin/", nothing, "detect {}/good.tif /vsistdin/ -o {}/out", 3, rf"/vsistdin/\.\.\.: {NO_SYSTEM}"),
    Case("/vsisubfile/", nothing, f"detect {{}}/good.tif /vsisubfile/0_9,{SECRET} -o {{}}/out", 3,
         rf"/vsisubfile/\.\.\.: {NO_SYSTEM}"),
    Case("/vsicurl/file:", nothing, f"detect {{}}/good.tif /vsicurl/file://{SECRET} -o {{}}/out", 3,
         rf"/vsicurl/\.\.\.: {NO_SYSTEM}"),
    Case("/vsizip/", zipped, "detect {}/good.tif /vsizip/{}/b.zip/b.tif -o {}/out", 3, NO_ARCHIVE),
    Case("no host", nothing, "detect {}/good.tif https:///b.tif -o {}/out", 3,
         "https://: names no file: write it as https://HOST/PATH"),
    Case("no object", nothing, "detect {}/good.tif s3://bucket -o {}/out", 3,
         "s3://bucket: names no file: write it as s3://BUCKET/NAME"),
    Case("GDAL's prefix", nothing, "detect {}/good.tif GTIFF_DIR:1:{}/good.tif -o {}/out", 3,
         r"DIR/GTIFF_DIR:1:DIR/good\.tif: no such file: check the path"),
    Case("mask by name", nothing, f"{GOOD} --mask-t1 vrt://x", 3, rf"vrt://\.\.\.: {NO_ADDRESS}"),
    Case("AOI by name", nothing, f"{GOOD} --aoi zip://{{}}/x.zip", 3, rf"zip://\.\.\.: {NO_ADDRESS}"),
    Case("weights by name", nothing, f"{GOOD} --weights ftp://127.0.0.1/w", 3, rf"ftp://\.\.\.: {NO_ADDRESS}"),
    # What a file calls itself (88, 89, 95)
    Case("text", text_at("b.tif", "hello"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("PNG", text_at("b.tif", b"\x89PNG\r\n\x1a\n" + bytes(50)), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("HTML", text_at("b.tif", "<!DOCTYPE html><html>login</html>"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("half a header", text_at("b.tif", b"II*\0"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("loop of directories", text_at("b.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("cut to a tenth", cut_short(0.001), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("VRT as .tif", text_at("b.tif", vrt(simple("good.tif"))), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("raw VRT as .tif", text_at("b.tif", vrt(RAW, " subClass='VRTRawRasterBand'")), BOTH, 3,
         rf"DIR/b\.tif{NO_TIFF}"),
    Case("VRT of a server", text_at("b.tif", vrt(simple("/vsicurl/http://127.0.0.1:9/x.tif", 0))), BOTH, 3,
         rf"DIR/b\.tif{NO_TIFF}"),
    Case("WMS as .tif", text_at("b.tif", "<GDAL_WMS><Service/></GDAL_WMS>"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("SVG as .tif", text_at("b.tif", "<svg><image href='http://127.0.0.1:9/x'/></svg>"), BOTH, 3,
         rf"DIR/b\.tif{NO_TIFF}"),
    Case("zip as .tif", lambda f: zipped(f).rename(f / "b.tif"), BOTH, 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("mask file", text_at("good.tif.msk", vrt(RAW)), GOOD, 3,
         r"DIR/good\.tif\.msk: lies beside the scene as its \.msk file but is no TIFF: move it away"),
    Case("overview file", text_at("good.tif.ovr", vrt(RAW)), GOOD, 3,
         r"DIR/good\.tif\.ovr: lies beside the scene as its \.ovr file but is no TIFF: move it away"),
    Case("mask of a mask", text_at("good.tif.msk.msk", "x"), GOOD, 3,
         r"DIR/good\.tif\.msk\.msk: lies beside the scene as its \.msk file but is no TIFF: move it away"),
    Case("size bomb", text_at("b.tif", bytes_of_tiff(2**31 - 1, 2**31 - 1)), BOTH, 3,
         r"DIR/b\.tif: its internal tiles are 2\.0 GiB each, too large to read in parts: rewrite it with "
         "gdal_translate -co TILED=YES -co BIGTIFF=YES"),
    Case("block bomb", huge, BOTH, 3,
         r"DIR/b\.tif: its internal tiles are 1\.5 GiB each, too large to read in parts: rewrite it with "
         "gdal_translate -co TILED=YES -co BIGTIFF=YES"),
    # On request only, and then within bounds
    Case("unknown driver", text_at("b.tif", "x"), f"{BOTH} --allow-driver Magic", 2,
         "--allow-driver Magic: is none of VRT, zip, tar, gzip, AVIF, BMP, COG, ECW, ENVI, GIF, GTiff, "
         "HEIF, JP2ECW, JP2KAK, JP2MrSID, JP2OpenJPEG, JPEG, JPEGXL, MrSID, NITF, PNG, PNM, SGI, WEBP, "
         "whose files name no others unchecked: convert other formats with gdal_translate"),
    Case("driver with code", nothing, f"{BOTH} --allow-driver a;b", 2,
         "--allow-driver a;b: is none of VRT, zip, tar, gzip, AVIF, BMP, COG, ECW, ENVI, GIF, GTiff, HEIF, "
         "JP2ECW, JP2KAK, JP2MrSID, JP2OpenJPEG, JPEG, JPEGXL, MrSID, NITF, PNG, PNM, SGI, WEBP, whose "
         "files name no others unchecked: convert other formats with gdal_translate"),
    Case("VRT elsewhere", text_at("b.tif", vrt(simple(SECRET, 0))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to /etc/hostname{ELSEWHERE}"),
    Case("VRT above", text_at("b.tif", vrt(simple("../x.tif"))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to DIR/\.\./x\.tif{ELSEWHERE}"),
    Case("VRT to a server", text_at("b.tif", vrt(simple("http://127.0.0.1:9/x.tif", 0))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to http://127\.0\.0\.1:9/x\.tif{ON_SERVER}"),
    Case("VRT to vsicurl", text_at("b.tif", vrt(simple("/vsicurl/http://127.0.0.1:9/x", 0))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to http://127\.0\.0\.1:9/x{ON_SERVER}"),
    Case("VRT in a VRT", text_at("b.tif", vrt(simple("&lt;VRTDataset/&gt;", 0))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to <VRTDataset/>: {NO_FILE}"),
    Case("VRT to vsizip", text_at("b.tif", vrt(simple("/vsizip/x.zip/x.tif", 0))), VIRTUAL, 3,
         rf"DIR/b\.tif: points to {NO_ARCHIVE}"),
    Case("raw VRT", text_at("b.tif", vrt(RAW, " subClass='VRTRawRasterBand'")), VIRTUAL, 3,
         rf"DIR/b\.tif: is a virtual raster with subClass VRTRawRasterBand{MORE}"),
    Case("derived VRT", text_at("b.tif", vrt(PYTHON, " subClass='VRTDerivedRasterBand'")), VIRTUAL, 3,
         rf"DIR/b\.tif: is a virtual raster with subClass VRTDerivedRasterBand{MORE}"),
    Case("Python in a VRT", text_at("b.tif", vrt(PYTHON)), VIRTUAL, 3,
         rf"DIR/b\.tif: is a virtual raster with <PixelFunctionType>{MORE}"),
    Case("entities", text_at("b.tif", "<?xml version='1.0'?><!DOCTYPE x><VRTDataset/>"), VIRTUAL, 3,
         r"DIR/b\.tif: defines entities, which no virtual raster needs: make it anew with gdalbuildvrt"),
    Case("broken XML", text_at("b.tif", "<VRTDataset><"), VIRTUAL, 3,
         r"DIR/b\.tif: is no virtual raster that can be understood \(.+\): make it anew with gdalbuildvrt"),
    Case("VRT of itself", text_at("b.tif", vrt(simple("b.tif"))), VIRTUAL, 3,
         r"DIR/b\.tif: is a virtual raster of virtual rasters too deep: make it anew with gdalbuildvrt"),
    Case("out of the zip", zipped, "detect {}/good.tif /vsizip/{{{}/b.zip}}/../x -o {}/out --allow-driver zip",
         3, r"DIR/b\.zip: \.\./x: leads out of the archive: name a file in it"),
    Case("no member", zipped, "detect {}/good.tif /vsizip/{}/b.zip/c.tif -o {}/out --allow-driver zip", 3,
         rf"DIR/b\.zip/c\.tif{NO_TIFF}"),
    # Georeferencing (1, 10, 11, 14, 15)
    Case("no CRS", scene_at("b.tif", crs=None), BOTH, 3,
         r"DIR/b\.tif: has no CRS: say which with --assume-crs EPSG:\.\.\."),
    Case("no CRS, T1", scene_at("b.tif", crs=None), FIRST, 3,
         r"DIR/b\.tif: has no CRS: say which with --assume-crs EPSG:\.\.\."),
    Case("no position", scene_at("b.tif", crs=None, transform=Affine.identity()), BOTH, 3,
         r"DIR/b\.tif: has no CRS and no position on the earth: give it a place with gdal_edit\.py -a_srs "
         "and -a_ullr"),
    Case("no extent", scene_at("b.tif", transform=Affine(0, 0, 5e5, 0, 0, 4.6e6)), BOTH, 3,
         r"DIR/b\.tif: its pixels have no extent on the ground: mend it with gdal_edit\.py -a_ullr"),
    Case("no such CRS", scene_at("b.tif", crs=None), f"{BOTH} --assume-crs EPSG:1", 2,
         "--assume-crs EPSG:1: is no CRS: write it as EPSG:32631"),
    Case("no CRS at all", scene_at("b.tif", crs=None), f"{BOTH} --assume-crs x", 2,
         "--assume-crs x: is no CRS: write it as EPSG:32631"),
    Case("GCPs only", with_gcps, BOTH, 3,
         r"DIR/b\.tif: is placed by ground control points or RPCs only: rectify it first with gdalwarp"),
    Case("apart", scene_at("b.tif", transform=PLACE @ Affine.translation(5000, 0)), BOTH, 3,
         r"DIR/good\.tif and DIR/b\.tif do not overlap, their extents are \(500000, 4599960, 500050, "
         r"4600000\) and \(502500, 4599960, 502550, 4600000\) in EPSG:32631: give two scenes of one place"),
    Case("apart in degrees", scene_at("b.tif", crs=CRS.from_epsg(4326), transform=Affine(1e-5, 0, 50, 0, -1e-5, 10)),
         BOTH, 3,
         r"DIR/good\.tif and DIR/b\.tif do not overlap, their extents are \(3, 41\.55\d+, 3\.0005\d+, "
         r"41\.55\d+\) and \(50, 9\.9992, 50\.001, 10\) in EPSG:4326: give two scenes of one place"),
    Case("too coarse", scene_at("b.tif", transform=Affine(5000, 0, 400_000, 0, -5000, 4_800_000)), BOTH, 3,
         r"DIR/b\.tif: its pixels are too far in size from the grid's, which are 0\.0001 times as wide: "
         "resample it first with gdalwarp -tr"),
    Case("one not aligned", scene_at("b.tif", crs=None, transform=Affine.identity()), f"{BOTH} --assume-aligned", 3,
         r"DIR/b\.tif: has no CRS, and --assume-aligned is for two images of one size that both have none: "
         r"give it one with gdal_edit\.py -a_srs"),
    Case("AOI outside", nothing, f"{GOOD} --aoi 0,0,1,1", 3,
         r"--aoi 0,0,1,1: lies outside the overlap of the scenes: it covers \(0, 0, 1, 1\), they \(500000, "
         r"4599960, 500050, 4600000\) in EPSG:32631: check its CRS and coordinates"),
    Case("AOI reversed", nothing, f"{GOOD} --aoi 5,5,1,1", 2,
         "--aoi 5,5,1,1: give XMIN,YMIN,XMAX,YMAX with XMIN below XMAX and YMIN below YMAX"),
    Case("AOI of NaN", nothing, f"{GOOD} --aoi nan,0,1,1", 2,
         "--aoi nan,0,1,1: give XMIN,YMIN,XMAX,YMAX with XMIN below XMAX and YMIN below YMAX"),
    Case("AOI's CRS", nothing, f"{GOOD} --aoi 0,0,1,1,EPSG:0", 2,
         "--aoi 0,0,1,1,EPSG:0: 'EPSG:0' is no CRS: write it as EPSG:4326"),
    # Vector files by content
    Case("AOI missing", nothing, AOI, 3,
         r"--aoi DIR/area: cannot be read as a vector file \(No such file or directory\): give one with "
         "polygons, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a text", text_at("area", "hello"), AOI, 3, f"--aoi DIR/area: {NO_VECTOR}, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI an OGR VRT", text_at("area", "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/x"), AOI, 3,
         f"--aoi DIR/area: {NO_VECTOR}, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a WFS", text_at("area", "<OGRWFSDataSource><URL>http://127.0.0.1:9</URL></OGRWFSDataSource>"), AOI, 3,
         f"--aoi DIR/area: {NO_VECTOR}, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a GML", text_at("area", "<?xml version='1.0'?><gml:FeatureCollection/>"), AOI, 3,
         f"--aoi DIR/area: {NO_VECTOR}, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI KML, entity", text_at("area", "<?xml version='1.0'?><!DOCTYPE k [<!ENTITY x 'y'>]><kml/>"), AOI, 3,
         r"--aoi DIR/area: cannot be read as a vector file \(it defines entities, which no KML needs\): give "
         "one with polygons, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a CSV", text_at("area", "WKT\n\"POLYGON((0 0,1 0,1 1,0 0))\"\n"), AOI, 3,
         f"--aoi DIR/area: {NO_VECTOR}, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI cut", text_at("area", '{"type": "FeatureCollection", "features": ['), AOI, 3,
         r"--aoi DIR/area: cannot be read as a vector file \(.+\): give one with polygons, or "
         "XMIN,YMIN,XMAX,YMAX"),
    Case("AOI no GPKG", text_at("area", b"SQLite format 3\0" + bytes(100)), AOI, 3,
         r"--aoi DIR/area: cannot be read as a vector file \(.+\): give one with polygons, or "
         "XMIN,YMIN,XMAX,YMAX"),
    Case("AOI of points", text_at("area", '{"type": "Point", "coordinates": [3, 41]}'), AOI, 3,
         "--aoi DIR/area: holds no polygons: give a file with some, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a service", text_at("area", '{"type": "Topology", "objects": {}}'), AOI, 3,
         r"--aoi DIR/area: cannot be read as a vector file \(JSON of the type 'Topology' is no GeoJSON\): "
         "give one with polygons, or XMIN,YMIN,XMAX,YMAX"),
    Case("AOI a pipeline", text_at("area", PIPELINE), AOI, 3, f"--aoi DIR/area: {NO_PIPELINE}, or XMIN,YMIN,XMAX,YMAX"),
    # Bands and values (23, 27, 20)
    Case("two bands", scene_at("b.tif", bands=2), BOTH, 3,
         r"DIR/b\.tif: has too few bands for red, green and blue, its bands are 1, 2: choose one with --bands"),
    Case("band 0", nothing, f"{GOOD} --bands 0", 3, rf"DIR/good\.tif: has no band '0'{BANDS}"),
    Case("band 4", nothing, f"{GOOD} --bands 1,2,4", 3, rf"DIR/good\.tif: has no band '4'{BANDS}"),
    Case("band -1", nothing, f"{GOOD} --bands=-1", 3, rf"DIR/good\.tif: has no band '-1'{BANDS}"),
    Case("band by name", nothing, f"{GOOD} --bands red,green,nir", 3, rf"DIR/good\.tif: has no band 'nir'{BANDS}"),
    Case("two of three", nothing, f"{GOOD} --bands 1,2", 3,
         r"DIR/good\.tif: --bands 1,2 names 2 bands: name one, or red, green and blue"),
    Case("bands of T2", nothing, f"{GOOD} --bands-t2 9", 3, rf"DIR/good\.tif: has no band '9'{BANDS}"),
    Case("alpha as band", with_alpha, f"{BOTH} --bands-t2 4", 3,
         r"DIR/b\.tif: band 4 is transparency \(alpha\), not image: choose another with --bands, or, if it "
         r"is mislabelled, gdal_edit\.py -colorinterp_4 undefined"),
    Case("complex", scene_at("b.tif", dtype="complex64"), BOTH, 3,
         r"DIR/b\.tif: holds complex numbers \(complex64\): convert them to intensity first"),
    Case("all nodata", scene_at("b.tif", dtype="uint16", nodata=90), BOTH, 3,
         rf"DIR/good\.tif and DIR/b\.tif{NOTHING_VALID}"),
    Case("all NaN", scene_at("b.tif", dtype="float32", fill=float("nan")), BOTH, 3,
         rf"DIR/good\.tif and DIR/b\.tif{NOTHING_VALID}"),
    Case("scale of one", nothing, f"{GOOD} --scale 5", 2, f"--scale 5{NO_SCALE}"),
    Case("scale of none", nothing, f"{GOOD} --scale 5,5", 2, f"--scale 5,5{NO_SCALE}"),
    Case("scale of NaN", nothing, f"{GOOD} --scale nan,5", 2, f"--scale nan,5{NO_SCALE}"),
    Case("resampling", nothing, f"{GOOD} --resampling best", 2,
         "--resampling best: is not known; choose one of nearest, bilinear, cubic, cubic_spline, lanczos, "
         "average"),
    # Masks
    Case("mask missing", nothing, f"{GOOD} --mask-t1 {{}}/b.tif", 3, r"DIR/b\.tif: no such file: check the path"),
    Case("mask no TIFF", text_at("b.tif", "x"), f"{GOOD} --mask-t2 {{}}/b.tif", 3, rf"DIR/b\.tif{NO_TIFF}"),
    Case("mask apart",
         scene_at("b.tif", transform=PLACE @ Affine.translation(9000, 0)), f"{GOOD} --mask-t1 {{}}/b.tif", 3,
         r"DIR/good\.tif and DIR/b\.tif do not overlap, their extents are \(500000, 4599960, 500050, "
         r"4600000\) and \(504500, 4599960, 504550, 4600000\) in EPSG:32631: give two scenes of one place"),
    Case("mask of other size", scene_at("b.tif", crs=None, transform=Affine.identity(), width=99),
         f"{GOOD} --mask-t1 {{}}/b.tif", 3,
         r"DIR/b\.tif: has no CRS, and not the 100 x 80 pixels of DIR/good\.tif: give a mask of its scene's "
         "size, or one with a CRS"),
    # Weights (79, 80)
    Case("weights missing", nothing, WEIGHTS, 3, r"DIR/w\.safetensors: there is no such file: check the path"),
    Case("weights a text", text_at("w.safetensors", "x" * 99), WEIGHTS, 3, rf"DIR/w\.safetensors{NO_TENSORS}"),
    Case("weights empty", text_at("w.safetensors", ""), WEIGHTS, 3, rf"DIR/w\.safetensors{NO_TENSORS}"),
    Case("weights a folder", lambda f: (f / "w.safetensors").mkdir(), WEIGHTS, 3,
         r"DIR/w\.safetensors: is a folder: name the \.safetensors file in it"),
    Case("header bomb", text_at("w.safetensors", struct.pack("<Q", 2**40) + b"{}"), WEIGHTS, 3,
         rf"DIR/w\.safetensors{NO_TENSORS}"),
    Case("weights a pickle", text_at("w.safetensors", pickle.dumps(Harm())), WEIGHTS, 3,
         rf"DIR/w\.safetensors{NO_TENSORS}"),
    Case("import a pickle", text_at("w.pth", pickle.dumps(Harm())), "weights import {}/w.pth -o {}/w.safetensors", 3,
         r"DIR/w\.pth: is damaged, or no checkpoint of tensors alone, and nothing else is loaded, for it "
         r"could run code: copy it again, or save its state_dict\(\) where it comes from"),
    Case("import missing", nothing, "weights import {}/w.pth -o {}/w.safetensors", 3,
         r"DIR/w\.pth: there is no such file: check the path"),
    Case("show a text", text_at("w.safetensors", "x" * 99), "weights show {}/w.safetensors", 3,
         rf"DIR/w\.safetensors{NO_TENSORS}"),
    Case("show missing", nothing, "weights show {}/w.safetensors", 3,
         r"DIR/w\.safetensors: there is no such file: check the path"),
    Case("someone's tensors", lambda f: (f / "w.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}"), WEIGHTS, 3,
         r"DIR/w\.safetensors: is a safetensors file, but not one that geofcs wrote: name one of geofcs "
         "train or geofcs weights import"),
    Case("newer weights", lambda f: (f / "w.safetensors").write_bytes(header_only({"format": 99})), WEIGHTS, 3,
         r"DIR/w\.safetensors: was written by a newer geofcs \(format 99\): update geofcs"),
    Case("weights of something", lambda f: (f / "w.safetensors").write_bytes(header_only({"format": 1})), WEIGHTS, 3,
         r"DIR/w\.safetensors: its description cannot be understood \(KeyError\('architecture'\)\): copy it "
         "again, or make it anew"),
    # Other commands
    Case("check missing", nothing, "check {}/good.tif {}/b.tif", 3, r"DIR/b\.tif: no such file: check the path"),
    Case("check a VRT", text_at("b.tif", vrt(simple("good.tif"))), "check {}/b.tif {}/good.tif", 3,
         rf"DIR/b\.tif{NO_TIFF}"),
    Case("check bands", nothing, "check {}/good.tif {}/good.tif --bands 7", 3,
         rf"DIR/good\.tif: has no band '7'{BANDS}"),
    Case("polygonize a VRT", text_at("b.tif", vrt(simple("good.tif"))), "polygonize {}/b.tif -o {}/x.gpkg", 3,
         r"DIR/b\.tif: cannot be opened as a GeoTIFF \(.+\): check the path; gdal_translate converts other "
         "formats"),
    Case("polygonize a zip", zipped, "polygonize /vsizip/{}/b.zip/b.tif -o {}/x.gpkg", 3, NO_ARCHIVE),
    Case("polygonize a bucket", nothing, "polygonize /vsis3/bucket/b.tif -o {}/x.gpkg", 3,
         r"s3://bucket/b\.tif: polygons are made from a raster on this machine: download it first"),
    Case("polygonize missing", nothing, "polygonize {}/b.tif -o {}/x.gpkg", 3,
         r"DIR/b\.tif: cannot be opened as a GeoTIFF \(.+\): check the path; gdal_translate converts other "
         "formats"),
    Case("polygonize a scene", nothing, "polygonize {}/good.tif -o {}/x.gpkg", 3,
         r"DIR/good\.tif: has 3 band\(s\) of uint8; from-to codes are one band of uint8 or uint16, as in "
         r"change\.tif of geofcs detect"),
    Case("truth missing", nothing, "eval --scene {}/good.tif {}/good.tif --truth {}/b.tif", 3,
         r"DIR/b\.tif: no such file: check the path"),
    Case("truth a VRT", text_at("b.tif", vrt(RAW)), "eval --scene {}/good.tif {}/good.tif --truth {}/b.tif", 3,
         rf"DIR/b\.tif{NO_TIFF}"),
    Case("truth an OGR VRT", text_at("b.gpkg", "<OGRVRTDataSource/>"),
         "eval --scene {}/good.tif {}/good.tif --truth {}/b.gpkg", 3, rf"DIR/b\.gpkg: {NO_VECTOR}"),
    Case("truth a pipeline", text_at("b.geojson", PIPELINE),
         "eval --scene {}/good.tif {}/good.tif --truth {}/b.geojson", 3, rf"DIR/b\.geojson: {NO_PIPELINE}"),
    Case("no truth", nothing, "eval --scene {}/good.tif {}/good.tif", 2,
         "--scene T1 T2 goes with --truth FILE, and without --data and --dataset"),
    Case("eval of nothing", nothing, "eval", 2,
         "say what to measure on: --data FOLDER, --dataset NAME, or --scene T1 T2 --truth FILE"),
]  # fmt: skip


def header_only(description: dict[str, Any]) -> bytes:
    """A safetensors file without tensors that describes itself so."""
    header = json.dumps({"__metadata__": {"geofcs": json.dumps(description)}}).encode()
    return struct.pack("<Q", len(header)) + header


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return scene(tmp_path_factory.mktemp("good") / "good.tif").read_bytes()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = pico(classes=SECOND.count, width=4)
    path = tmp_path_factory.mktemp("weights") / "pico.safetensors"
    save_weights(path, build(config, seed=0), config, SECOND, tile=64, trained="not trained")
    return path


@pytest.fixture
def handlers() -> Iterator[None]:
    """Handlers of signals and of what is printed as they were: a command sets its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hooks = sys.excepthook, sys.unraisablehook
    yield
    sys.excepthook, sys.unraisablehook = hooks
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_sources_end_in_one_line_and_an_exit_code(
    case: Case,
    good: bytes,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "good.tif").write_bytes(good)
    case.make(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    arguments = [part.format(*[tmp_path] * 3) for part in case.arguments.split()]
    if arguments[0] in ("detect", "eval") and "--weights" not in arguments:
        arguments += ["--weights", str(weights)]
    monkeypatch.setattr("geofcs.cli.app.end_at_once", end_here)
    monkeypatch.setattr(sys, "argv", ["geofcs", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("geofcs: ")]
    assert end.value.code == case.exit_code, said
    assert len(errors) == 1, said
    assert re.fullmatch(f"geofcs: (?:{case.message})", errors[0].replace(str(tmp_path), "DIR")), said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before
    tell(BAD_INPUT, {f"exit code {case.exit_code}": 1})
