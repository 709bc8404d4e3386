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

UTM = CRS.from_epsg(32631)
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)
SECRET = "/etc/hostname"


@dataclass(frozen=True)
class Case:
    """What is typed, after `make` has put something into the folder; `{}` in arguments is the folder."""

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
NO_TIFF = r"b\.tif: cannot be opened as a GeoTIFF \(.+\): if it is another format, convert it with gdal_translate"
NO_FILE = "is not the name of a file: give a path"
NO_ADDRESS = "is no address that geofcs reads"
NO_SYSTEM = "is no file system that geofcs reads"
NO_VECTOR = "cannot be read as a vector file"
ELSEWHERE = "which lies elsewhere: allow that with --allow-source"
COMPUTES = "is a virtual raster with .*, more than a mosaic needs, and may compute or read anything: if you trust it"

CASES = [
    # Names (59, 87)
    Case("missing", nothing, BOTH, 3, r"b\.tif: no such file: check the path"),
    Case("missing, T1", nothing, FIRST, 3, r"b\.tif: no such file: check the path"),
    Case("folder", lambda f: (f / "b.tif").mkdir(), BOTH, 3, r"b\.tif: is a folder: name one file in it"),
    Case("empty", text_at("b.tif", ""), BOTH, 3, r"b\.tif: is empty \(0 bytes\)"),
    Case("device", nothing, "detect {}/good.tif /dev/zero -o {}/out", 3, "/dev/zero: is no regular file"),
    Case("loop of links", unreadable, BOTH, 3, r"b\.tif: cannot be read \(.*\): check the path and its permissions"),
    Case("file as folder", nothing, "detect {}/good.tif {}/good.tif/b.tif -o {}/out", 3, r"good\.tif/b\.tif: cannot"),
    Case("inline XML", nothing, "detect {}/good.tif <VRTDataset/> -o {}/out", 3, NO_FILE),
    Case("vrt://", nothing, "detect {}/good.tif vrt://{}/good.tif?bands=1 -o {}/out", 3, NO_ADDRESS),
    Case("zip://", nothing, "detect {}/good.tif zip://{}/b.zip!b.tif -o {}/out", 3, NO_ADDRESS),
    Case("file://", nothing, "detect {}/good.tif file://{}/good.tif -o {}/out", 3, NO_ADDRESS),
    Case("ftp://", nothing, "detect {}/good.tif ftp://127.0.0.1/b.tif -o {}/out", 3, NO_ADDRESS),
    Case("/vsimem/", nothing, "detect {}/good.tif /vsimem/b.tif -o {}/out", 3, NO_SYSTEM),
    Case("/vsistdin/", nothing, "detect {}/good.tif /vsistdin/ -o {}/out", 3, NO_SYSTEM),
    Case("/vsisubfile/", nothing, f"detect {{}}/good.tif /vsisubfile/0_9,{SECRET} -o {{}}/out", 3, NO_SYSTEM),
    Case("/vsicurl/file:", nothing, f"detect {{}}/good.tif /vsicurl/file://{SECRET} -o {{}}/out", 3, NO_SYSTEM),
    Case("/vsizip/", zipped, "detect {}/good.tif /vsizip/{}/b.zip/b.tif -o {}/out", 3, "add --allow-driver zip"),
    Case("no host", nothing, "detect {}/good.tif https:///b.tif -o {}/out", 3, "names no file"),
    Case("no object", nothing, "detect {}/good.tif s3://bucket -o {}/out", 3, "names no file.*s3://BUCKET/NAME"),
    Case("GDAL's prefix", nothing, "detect {}/good.tif GTIFF_DIR:1:{}/good.tif -o {}/out", 3, "no such file"),
    Case("mask by name", nothing, f"{GOOD} --mask-t1 vrt://x", 3, NO_ADDRESS),
    Case("AOI by name", nothing, f"{GOOD} --aoi zip://{{}}/x.zip", 3, NO_ADDRESS),
    Case("weights by name", nothing, f"{GOOD} --weights ftp://127.0.0.1/w", 3, NO_ADDRESS),
    # What a file calls itself (88, 89, 95)
    Case("text", text_at("b.tif", "hello"), BOTH, 3, NO_TIFF),
    Case("PNG", text_at("b.tif", b"\x89PNG\r\n\x1a\n" + bytes(50)), BOTH, 3, NO_TIFF),
    Case("HTML", text_at("b.tif", "<!DOCTYPE html><html>login</html>"), BOTH, 3, NO_TIFF),
    Case("half a header", text_at("b.tif", b"II*\0"), BOTH, 3, NO_TIFF),
    Case("loop of directories", text_at("b.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), BOTH, 3, NO_TIFF),
    Case("cut to a tenth", cut_short(0.001), BOTH, 3, NO_TIFF),
    Case("VRT as .tif", text_at("b.tif", vrt(simple("good.tif"))), BOTH, 3, NO_TIFF),
    Case("raw VRT as .tif", text_at("b.tif", vrt(RAW, " subClass='VRTRawRasterBand'")), BOTH, 3, NO_TIFF),
    Case("VRT of a server", text_at("b.tif", vrt(simple("/vsicurl/http://127.0.0.1:9/x.tif", 0))), BOTH, 3, NO_TIFF),
    Case("WMS as .tif", text_at("b.tif", "<GDAL_WMS><Service/></GDAL_WMS>"), BOTH, 3, NO_TIFF),
    Case("SVG as .tif", text_at("b.tif", "<svg><image href='http://127.0.0.1:9/x'/></svg>"), BOTH, 3, NO_TIFF),
    Case("zip as .tif", lambda f: zipped(f).rename(f / "b.tif"), BOTH, 3, NO_TIFF),
    Case("mask file", text_at("good.tif.msk", vrt(RAW)), GOOD, 3, r"good\.tif\.msk: lies beside .* but is no TIFF"),
    Case("overview file", text_at("good.tif.ovr", vrt(RAW)), GOOD, 3, r"good\.tif\.ovr: lies beside .* is no TIFF"),
    Case("mask of a mask", text_at("good.tif.msk.msk", "x"), GOOD, 3, r"good\.tif\.msk\.msk: lies beside"),
    Case("size bomb", text_at("b.tif", bytes_of_tiff(2**31 - 1, 2**31 - 1)), BOTH, 3, r"b\.tif: "),
    Case("block bomb", huge, BOTH, 3, r"b\.tif: its internal tiles are \d+\.\d GiB each, too large to read in parts"),
    # On request only, and then within bounds
    Case("unknown driver", text_at("b.tif", "x"), f"{BOTH} --allow-driver Magic", 2,
         "--allow-driver Magic: is none of VRT, zip,"),
    Case("driver with code", nothing, f"{BOTH} --allow-driver a;b", 2, "--allow-driver a;b: is none of VRT, zip, tar"),
    Case("VRT elsewhere", text_at("b.tif", vrt(simple(SECRET, 0))), VIRTUAL, 3, f"points to {SECRET}, {ELSEWHERE}"),
    Case("VRT above", text_at("b.tif", vrt(simple("../x.tif"))), VIRTUAL, 3, ELSEWHERE),
    Case("VRT to a server", text_at("b.tif", vrt(simple("http://127.0.0.1:9/x.tif", 0))), VIRTUAL, 3, ELSEWHERE),
    Case("VRT to vsicurl", text_at("b.tif", vrt(simple("/vsicurl/http://127.0.0.1:9/x", 0))), VIRTUAL, 3, ELSEWHERE),
    Case("VRT in a VRT", text_at("b.tif", vrt(simple("&lt;VRTDataset/&gt;", 0))), VIRTUAL, 3, NO_FILE),
    Case("VRT to vsizip", text_at("b.tif", vrt(simple("/vsizip/x.zip/x.tif", 0))), VIRTUAL, 3, "not looked into"),
    Case("raw VRT", text_at("b.tif", vrt(RAW, " subClass='VRTRawRasterBand'")), VIRTUAL, 3, COMPUTES),
    Case("derived VRT", text_at("b.tif", vrt(PYTHON, " subClass='VRTDerivedRasterBand'")), VIRTUAL, 3, COMPUTES),
    Case("Python in a VRT", text_at("b.tif", vrt(PYTHON)), VIRTUAL, 3, COMPUTES),
    Case("entities", text_at("b.tif", "<?xml version='1.0'?><!DOCTYPE x><VRTDataset/>"), VIRTUAL, 3,
         "defines entities"),
    Case("broken XML", text_at("b.tif", "<VRTDataset><"), VIRTUAL, 3, "is no virtual raster that can be understood"),
    Case("VRT of itself", text_at("b.tif", vrt(simple("b.tif"))), VIRTUAL, 3, "virtual rasters too deep"),
    Case("out of the zip", zipped, "detect {}/good.tif /vsizip/{{{}/b.zip}}/../x -o {}/out --allow-driver zip",
         3, "leads out of the archive"),
    Case("no member", zipped, "detect {}/good.tif /vsizip/{}/b.zip/c.tif -o {}/out --allow-driver zip", 3,
         "c.tif: cannot"),
    # Georeferencing (1, 10, 11, 14, 15)
    Case("no CRS", scene_at("b.tif", crs=None), BOTH, 3, r"b\.tif: has no CRS: say which with --assume-crs EPSG"),
    Case("no CRS, T1", scene_at("b.tif", crs=None), FIRST, 3, r"b\.tif: has no CRS: say which with --assume-crs"),
    Case("no position", scene_at("b.tif", crs=None, transform=Affine.identity()), BOTH, 3, r"b\.tif: .* -a_ullr"),
    Case("no extent", scene_at("b.tif", transform=Affine(0, 0, 5e5, 0, 0, 4.6e6)), BOTH, 3, r"b\.tif: "),
    Case("no such CRS", scene_at("b.tif", crs=None), f"{BOTH} --assume-crs EPSG:1", 2,
         "--assume-crs EPSG:1: is no CRS"),
    Case("no CRS at all", scene_at("b.tif", crs=None), f"{BOTH} --assume-crs x", 2, "--assume-crs x: is no CRS"),
    Case("GCPs only", with_gcps, BOTH, 3, r"b\.tif: is placed by ground control points or RPCs only: rectify it first"),
    Case("apart", scene_at("b.tif", transform=PLACE @ Affine.translation(5000, 0)), BOTH, 3,
         "do not overlap, their ext"),
    Case("apart in degrees", scene_at("b.tif", crs=CRS.from_epsg(4326), transform=Affine(1e-5, 0, 50, 0, -1e-5, 10)),
         BOTH, 3, r"do not overlap, their extents are .* in EPSG:4326"),
    Case("too coarse", scene_at("b.tif", transform=Affine(5000, 0, 400_000, 0, -5000, 4_800_000)), BOTH, 3,
         "too far in"),
    Case("one not aligned", scene_at("b.tif", crs=None, transform=Affine.identity()), f"{BOTH} --assume-aligned", 3,
         "--assume-aligned is for two images of one size that both have none"),
    Case("AOI outside", nothing, f"{GOOD} --aoi 0,0,1,1", 3, "--aoi 0,0,1,1: lies outside the overlap of the scenes"),
    Case("AOI reversed", nothing, f"{GOOD} --aoi 5,5,1,1", 2, "--aoi 5,5,1,1: give XMIN,YMIN,XMAX,YMAX"),
    Case("AOI of NaN", nothing, f"{GOOD} --aoi nan,0,1,1", 2, "--aoi nan,0,1,1: give XMIN,YMIN,XMAX,YMAX"),
    Case("AOI's CRS", nothing, f"{GOOD} --aoi 0,0,1,1,EPSG:0", 2, "'EPSG:0' is no CRS: write it as EPSG:4326"),
    # Vector files by content
    Case("AOI missing", nothing, AOI, 3, f"--aoi .*area: {NO_VECTOR} .*give one with polygons, or XMIN"),
    Case("AOI a text", text_at("area", "hello"), AOI, 3, NO_VECTOR),
    Case("AOI an OGR VRT", text_at("area", "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/x"), AOI, 3,
         NO_VECTOR),
    Case("AOI a WFS", text_at("area", "<OGRWFSDataSource><URL>http://127.0.0.1:9</URL></OGRWFSDataSource>"), AOI, 3,
         NO_VECTOR),
    Case("AOI a GML", text_at("area", "<?xml version='1.0'?><gml:FeatureCollection/>"), AOI, 3, NO_VECTOR),
    Case("AOI KML, entity", text_at("area", "<?xml version='1.0'?><!DOCTYPE k [<!ENTITY x 'y'>]><kml/>"), AOI, 3,
         NO_VECTOR),
    Case("AOI a CSV", text_at("area", "WKT\n\"POLYGON((0 0,1 0,1 1,0 0))\"\n"), AOI, 3, NO_VECTOR),
    Case("AOI cut", text_at("area", '{"type": "FeatureCollection", "features": ['), AOI, 3, NO_VECTOR),
    Case("AOI no GPKG", text_at("area", b"SQLite format 3\0" + bytes(100)), AOI, 3, NO_VECTOR),
    Case("AOI of points", text_at("area", '{"type": "Point", "coordinates": [3, 41]}'), AOI, 3, "holds no polygons"),
    Case("AOI a service", text_at("area", '{"type": "Topology", "objects": {}}'), AOI, 3, "--aoi .*area: "),
    # Bands and values (23, 27, 20)
    Case("two bands", scene_at("b.tif", bands=2), BOTH, 3, r"b\.tif: has too few bands for red, green and blue"),
    Case("band 0", nothing, f"{GOOD} --bands 0", 3,
         r"good\.tif: has no band '0', its bands are 1 .red., 2 .green., 3 .blue."),
    Case("band 4", nothing, f"{GOOD} --bands 1,2,4", 3, r"good\.tif: has no band '4', its bands are 1 "),
    Case("band -1", nothing, f"{GOOD} --bands=-1", 3, r"good\.tif: has no band '-1'"),
    Case("band by name", nothing, f"{GOOD} --bands red,green,nir", 3, r"good\.tif: has no band"),
    Case("two of three", nothing, f"{GOOD} --bands 1,2", 3, "--bands 1,2 names 2 bands: name one, or red, green"),
    Case("bands of T2", nothing, f"{GOOD} --bands-t2 9", 3, r"good\.tif: has no band '9'"),
    Case("alpha as band", with_alpha, f"{BOTH} --bands-t2 4", 3, "band 4 is transparency"),
    Case("complex", scene_at("b.tif", dtype="complex64"), BOTH, 3,
         r"holds complex numbers \(complex64\): convert them"),
    Case("all nodata", scene_at("b.tif", dtype="uint16", nodata=90), BOTH, 3, "no pixel is valid on both dates"),
    Case("all NaN", scene_at("b.tif", dtype="float32", fill=float("nan")), BOTH, 3, "no pixel is valid on both dates"),
    Case("scale of one", nothing, f"{GOOD} --scale 5", 2, "--scale 5: "),
    Case("scale of none", nothing, f"{GOOD} --scale 5,5", 2, "--scale 5,5: "),
    Case("scale of NaN", nothing, f"{GOOD} --scale nan,5", 2, "--scale nan,5: "),
    Case("resampling", nothing, f"{GOOD} --resampling best", 2, "--resampling best: is not known; choose one of"),
    # Masks
    Case("mask missing", nothing, f"{GOOD} --mask-t1 {{}}/b.tif", 3, r"b\.tif: no such file"),
    Case("mask no TIFF", text_at("b.tif", "x"), f"{GOOD} --mask-t2 {{}}/b.tif", 3, NO_TIFF),
    Case("mask apart",
         scene_at("b.tif", transform=PLACE @ Affine.translation(9000, 0)), f"{GOOD} --mask-t1 {{}}/b.tif", 3,
         "do not overlap"),
    Case("mask of other size", scene_at("b.tif", crs=None, transform=Affine.identity(), width=99),
         f"{GOOD} --mask-t1 {{}}/b.tif", 3, r"b\.tif: has no CRS, and not the 100 x 80 pixels of"),
    # Weights (79, 80)
    Case("weights missing", nothing, WEIGHTS, 3, r"w\.safetensors: there is no such file"),
    Case("weights a text", text_at("w.safetensors", "x" * 99), WEIGHTS, 3,
         r"w\.safetensors: is not a safetensors file"),
    Case("weights empty", text_at("w.safetensors", ""), WEIGHTS, 3, r"w\.safetensors: "),
    Case("weights a folder", lambda f: (f / "w.safetensors").mkdir(), WEIGHTS, 3, r"w\.safetensors: "),
    Case("header bomb", text_at("w.safetensors", struct.pack("<Q", 2**40) + b"{}"), WEIGHTS, 3,
         r"w\.safetensors: is not"),
    Case("weights a pickle", text_at("w.safetensors", pickle.dumps(Harm())), WEIGHTS, 3,
         r"w\.safetensors: is not a safe"),
    Case("import a pickle", text_at("w.pth", pickle.dumps(Harm())), "weights import {}/w.pth -o {}/w.safetensors", 3,
         r"w\.pth: "),
    Case("import missing", nothing, "weights import {}/w.pth -o {}/w.safetensors", 3, r"w\.pth: "),
    Case("show a text", text_at("w.safetensors", "x" * 99), "weights show {}/w.safetensors", 3, "is not a safetensors"),
    Case("show missing", nothing, "weights show {}/w.safetensors", 3, "there is no such file"),
    Case("someone's tensors", lambda f: (f / "w.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}"), WEIGHTS, 3,
         "is a safetensors file, but not one that geofcs wrote"),
    Case("newer weights", lambda f: (f / "w.safetensors").write_bytes(header_only({"format": 99})), WEIGHTS, 3,
         r"was written by a newer geofcs \(format 99\): update geofcs"),
    Case("weights of something", lambda f: (f / "w.safetensors").write_bytes(header_only({"format": 1})), WEIGHTS, 3,
         "its description cannot be understood"),
    # Other commands
    Case("check missing", nothing, "check {}/good.tif {}/b.tif", 3, r"b\.tif: no such file: check the path"),
    Case("check a VRT", text_at("b.tif", vrt(simple("good.tif"))), "check {}/b.tif {}/good.tif", 3, NO_TIFF),
    Case("check bands", nothing, "check {}/good.tif {}/good.tif --bands 7", 3, r"good\.tif: has no band '7'"),
    Case("polygonize a VRT", text_at("b.tif", vrt(simple("good.tif"))), "polygonize {}/b.tif -o {}/x.gpkg", 3,
         "as a GeoTIFF"),
    Case("polygonize a zip", zipped, "polygonize /vsizip/{}/b.zip/b.tif -o {}/x.gpkg", 3, "not looked into unasked"),
    Case("polygonize a bucket", nothing, "polygonize /vsis3/bucket/b.tif -o {}/x.gpkg", 3, "download it first"),
    Case("polygonize missing", nothing, "polygonize {}/b.tif -o {}/x.gpkg", 3,
         r"b\.tif: cannot be opened as a GeoTIFF"),
    Case("polygonize a scene", nothing, "polygonize {}/good.tif -o {}/x.gpkg", 3, r"has 3 band\(s\) of uint8"),
    Case("truth missing", nothing, "eval --scene {}/good.tif {}/good.tif --truth {}/b.tif", 3, r"b\.tif: no such file"),
    Case("truth a VRT", text_at("b.tif", vrt(RAW)), "eval --scene {}/good.tif {}/good.tif --truth {}/b.tif", 3,
         NO_TIFF),
    Case("truth an OGR VRT", text_at("b.gpkg", "<OGRVRTDataSource/>"),
         "eval --scene {}/good.tif {}/good.tif --truth {}/b.gpkg", 3, NO_VECTOR),
    Case("no truth", nothing, "eval --scene {}/good.tif {}/good.tif", 2, "--scene T1 T2 goes with --truth FILE"),
    Case("eval of nothing", nothing, "eval", 2, "say what to measure on"),
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
    monkeypatch.setattr(sys, "argv", ["geofcs", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("geofcs: ")]
    assert end.value.code == case.exit_code, said
    assert len(errors) == 1, said
    assert re.search(case.message, errors[0]), said
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before
