"""Virtual rasters, archives and other formats on request: they give the pixels they should, and lead nowhere else."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from geofcs.errors import InputError, UsageError
from geofcs.scene import ScenePair
from geofcs.scene.formats import SINGLE_FILES, Allowed
from tests.remote.conftest import hurried, server
from tests.remote.server import FaultyServer
from tests.scene.hostile_crs import HOSTILE
from tests.scene.outside import nobody_opens
from tests.scene.rasters import ORIGIN, noise, plan, values, write

__all__ = ["hurried", "server"]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return Path(write(tmp_path / "in" / "good.tif", noise()))


def planned(scene: object, good: Path, *sources: object, drivers: tuple[str, ...] = ("VRT",)) -> ScenePair:
    return plan(str(scene), str(good), allow_drivers=drivers, allow_sources=tuple(map(str, sources)))


def source(name: object, relative: int = 1) -> str:
    return (
        f"<SimpleSource><SourceFilename relativeToVRT='{relative}'>{name}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource>"
    )


def vrt(*bands: str, height: int = 90, width: int = 120, srs: str = "EPSG:32631", more: str = "") -> str:
    content = "".join(
        f"<VRTRasterBand dataType='Byte' band='{number}'>{band}</VRTRasterBand>" for number, band in enumerate(bands, 1)
    )
    place = ", ".join(map(str, ORIGIN.to_gdal()))
    return (
        f"<VRTDataset rasterXSize='{width}' rasterYSize='{height}'><SRS>{srs}</SRS><GeoTransform>{place}</GeoTransform>"
        f"{more}{content}</VRTDataset>"
    )


def all_bands(name: object, relative: int = 1) -> str:
    one = source(name, relative)
    return vrt(*(one.replace(">1</SourceBand>", f">{band}</SourceBand>") for band in (1, 2, 3)))


def test_a_virtual_raster_gives_the_pixels_of_files_in_its_folder(good: Path) -> None:
    (good.parent / "a.vrt").write_text(all_bands("good.tif"))
    assert np.array_equal(values(planned(good.parent / "a.vrt", good)).t1, noise())


def test_a_virtual_raster_may_hold_others(good: Path) -> None:
    (good.parent / "below").mkdir()
    (good.parent / "below" / "b.vrt").write_text(all_bands("c.vrt"))
    write(good.parent / "below" / "d & ä.tif", noise(seed=3))
    (good.parent / "a.vrt").write_text(all_bands("below/b.vrt"))
    (good.parent / "below" / "c.vrt").write_text(all_bands("d &amp; ä.tif"), encoding="utf-8")
    assert np.array_equal(values(planned(good.parent / "a.vrt", good)).t1, noise(seed=3))


def with_mask(path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(noise(bands=1)[0] > 100)


def with_palette(path: Path) -> None:
    write(path, noise(bands=1)[0], photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})


def with_scales(path: Path) -> None:
    write(path, noise(dtype="float32"))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5, 0.5, 0.5), (1, 2, 3)
        file.update_tags(TIFFTAG_DATETIME="2020:05:06 07:08:09")


WRITTEN: dict[str, Callable[[Path], object]] = {
    "as it is": Path.exists,
    "nodata": lambda path: write(path, noise(), nodata=7),
    "mask": with_mask,
    "alpha": lambda path: write(path, noise(bands=4), photometric="rgb", alpha="unassociated"),
    "scales and a date": with_scales,
    "palette": with_palette,
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_gdal_writes_as_a_virtual_raster_is_the_raster(kind: str, good: Path) -> None:
    WRITTEN[kind](good)
    rasterio.shutil.copy(good, good.parent / "a.vrt", driver="VRT")
    plain, virtual = planned(good, good), planned(good.parent / "a.vrt", good)
    one, other = values(plain), values(virtual)
    assert np.array_equal(one.valid, other.valid)
    assert np.array_equal(one.t1[:, one.valid], other.t1[:, other.valid])
    assert (plain.t1.date, plain.t1.source.labels) == (virtual.t1.date, virtual.t1.source.labels)


def test_allow_source_lets_a_virtual_raster_point_elsewhere(good: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "b.tif", noise(seed=4))
    (good.parent / "a.vrt").write_text(all_bands(tmp_path / "other" / "b.tif", 0))
    with pytest.raises(
        InputError, match=r"a\.vrt: points to .*b\.tif, which lies elsewhere: allow that with --allow-so"
    ):
        planned(good.parent / "a.vrt", good)
    assert np.array_equal(values(planned(good.parent / "a.vrt", good, tmp_path / "other")).t1, noise(seed=4))


def test_a_virtual_raster_can_be_sent_to_workers(good: Path) -> None:
    (good.parent / "a.vrt").write_text(all_bands("good.tif"))
    pair = pickle.loads(pickle.dumps(planned(good.parent / "a.vrt", good)))  # noqa: S301, our own
    assert np.array_equal(values(pair).t1, noise())


def test_a_source_that_changes_is_noticed_and_makes_another_plan(good: Path) -> None:
    (good.parent / "a.vrt").write_text(all_bands("b.vrt"))
    (good.parent / "b.vrt").write_text(all_bands("b.tif"))
    write(good.parent / "b.tif", noise(seed=5))
    before = planned(good.parent / "a.vrt", good)
    before.check_unchanged()
    assert planned(good.parent / "a.vrt", good).describe() == before.describe()
    write(good.parent / "b.tif", noise(seed=6))
    for look in (before.check_unchanged, lambda: before.open().__enter__()):
        with pytest.raises(InputError, match=r"/b\.tif: has changed since the run was planned \(.*\): restore it"):
            look()
    assert planned(good.parent / "a.vrt", good).describe() != before.describe()


@pytest.mark.parametrize("archive", ["zip", "tar"])
def test_a_scene_in_an_archive_is_read_where_that_is_allowed(archive: str, good: Path) -> None:
    path = good.parent / f"a.{archive}"
    if archive == "zip":
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.write(good, "below/b.tif")
    else:
        with tarfile.open(path, "w") as tar:
            tar.add(good, "below/b.tif")
    name = f"/vsi{archive}/{path}/below/b.tif"
    assert np.array_equal(values(planned(name, good, drivers=(archive,))).t1, noise())
    with pytest.raises(InputError, match=f"unpack it, or, for scenes and masks, add --allow-driver {archive}"):
        planned(name, good, drivers=())


@pytest.mark.parametrize(("driver", "options"), [("JP2OpenJPEG", {"QUALITY": 100, "REVERSIBLE": "YES"}), ("PNG", {})])
def test_another_format_is_read_where_its_driver_is_allowed(driver: str, options: dict[str, Any], good: Path) -> None:
    """Neither has a place here: JPEG 2000 holds one, but GDAL writes it into another file if told to write none."""
    path, plain = good.parent / "a.tif", write(good.parent / "plain.tif", noise(), None, None)
    rasterio.shutil.copy(plain, path, driver=driver, **options)
    for name in (driver, driver.lower()):
        pair = plan(str(path), plain, allow_drivers=(name,), assume_aligned=True)
        assert np.array_equal(values(pair).t1, noise())
    with pytest.raises(InputError, match=r"a\.tif: cannot be opened as a GeoTIFF"):
        planned(path, good)


@pytest.mark.parametrize("name", ["WMS", "HTTP", "STACTA", "GTI", "HDF5", "Magic", "a;b", "VRT,PNG", ""])
def test_formats_whose_files_may_name_others_cannot_be_allowed(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"^--allow-driver .*: is none of VRT, zip, tar, gzip, .*: convert other formats"
    ):
        Allowed((name,))


def test_every_driver_that_may_be_allowed_is_allowed_in_any_case() -> None:
    assert Allowed(("vrt", "ZIP", *SINGLE_FILES)).drivers == ("GTiff", "VRT", *SINGLE_FILES)
    assert Allowed(("vrt", "ZIP")).archives == ("zip",)


GOOD = source("good.tif")
SECRET = source("SECRET", 0)
OTHER_CASE = SECRET.replace("SourceFilename", "sourcefilename")
TWO_NAMES = SECRET.replace("</SourceFilename>", "<a/>good.tif</SourceFilename>")
OPEN_OPTIONS = GOOD.replace("<SourceBand>", "<OpenOptions><OOI key='a'>SECRET</OOI></OpenOptions><SourceBand>")
OVERVIEW_FILE = "<Metadata domain='OVERVIEWS'><MDI key='OVERVIEW_FILE'>SECRET</MDI></Metadata>"
OVERVIEW = "<Overview><SourceFilename relativeToVRT='0'>SECRET</SourceFilename><SourceBand>1</SourceBand></Overview>"
RAW = "<SourceFilename relativeToVRT='0'>SECRET</SourceFilename><ImageOffset>0</ImageOffset>"
WMS = (
    "<GDAL_WMS><Service name='TMS'><ServerUrl>URL</ServerUrl></Service><DataWindow><UpperLeftX>0</UpperLeftX>"
    "<UpperLeftY>9</UpperLeftY><LowerRightX>9</LowerRightX><LowerRightY>0</LowerRightY><SizeX>120</SizeX>"
    "<SizeY>90</SizeY></DataWindow><BandsCount>3</BandsCount></GDAL_WMS>"
)
WMTS = "<GDAL_WMTS><GetCapabilitiesUrl>URL</GetCapabilitiesUrl></GDAL_WMTS>"
INDEX = "<GDALTileIndexDataset><IndexDataset>SECRET</IndexDataset></GDALTileIndexDataset>"

ELSEWHERE = r"points to .*, which lies elsewhere: allow that with --allow-source, or keep the sources in its own folder"
ON_SERVER = r"points to http://127.*/b\.tif, which lies on a server: download that into its folder"
NO_TIFF = r"a\.vrt: points to .*/b\.tif, which is no GeoTIFF: convert that with gdal_translate"
NO_XML = r"a\.vrt: is no virtual raster that can be understood"
MORE = r"a\.vrt: is a virtual raster with {}, more than a mosaic needs"
NO_NAME = r"a\.vrt: points to .*: is not the name of a file"
NO_CRS = r"a\.vrt: its CRS is neither well-known text nor a code such as EPSG:32631 \(.*\): write it anew in one of"
NO_GRID = r"a\.vrt: its CRS names a file or an operation of PROJ's \(.+\), which are not followed: write it"

LEADING: dict[str, tuple[str, dict[str, str], str | None]] = {
    "elsewhere": (vrt(SECRET), {}, ELSEWHERE),
    "behind a comment": ("<!-- a -->" + vrt(SECRET), {}, ELSEWHERE),
    "behind a byte order mark": ("\ufeff" + vrt(SECRET), {}, ELSEWHERE),
    "behind a declaration": ("<?xml version='1.0'?>\n" + vrt(SECRET), {}, ELSEWHERE),
    "behind a word": ("x" + vrt(SECRET), {}, NO_XML),
    "in another": (vrt(source("b.vrt")), {"b.vrt": "<!-- a -->" + vrt(SECRET)}, ELSEWHERE),
    "in another with another name": (vrt(source("b.tif")), {"b.tif": vrt(SECRET)}, ELSEWHERE),
    "second root": (vrt(GOOD) + vrt(SECRET), {}, NO_XML),
    "other root": (f"<a><b/>{vrt(SECRET)}</a>", {}, MORE.format("<a>")),
    "other case": (vrt(OTHER_CASE), {}, MORE.format("<sourcefilename>")),
    "namespace": (vrt(SECRET).replace(" raster", " xmlns='a' raster", 1), {}, MORE.format("<{a}VRTDataset>")),
    "two names": (vrt(TWO_NAMES), {}, MORE.format("<SourceFilename>")),
    "raw bytes": (vrt(RAW).replace(" band=", " subClass='VRTRawRasterBand' band="), {},
                  MORE.format("subClass VRTRawRasterBand")),
    "raw bytes, other case": (vrt(RAW).replace(" band=", " subclass='vrtrawrasterband' band="), {},
                              MORE.format("subclass of <VRTRasterBand>")),
    "raw bytes by elements": (vrt(RAW), {}, MORE.format("<ImageOffset>")),
    "code": (vrt(GOOD + "<PixelFunctionCode>x</PixelFunctionCode>"), {}, MORE.format("<PixelFunctionCode>")),
    "open options": (vrt(OPEN_OPTIONS), {}, MORE.format("<OpenOptions>")),
    "overviews": (vrt(GOOD, GOOD, GOOD, more=OVERVIEW_FILE), {}, None),
    "overview of a band": (vrt(GOOD + OVERVIEW, GOOD, GOOD), {}, None),
    "tiles": (vrt(source("b.tif")), {"b.tif": WMS}, NO_TIFF),
    "tile service": (vrt(source("b.tif")), {"b.tif": WMTS}, NO_TIFF),
    "index of tiles": (vrt(source("b.tif")), {"b.tif": INDEX}, NO_TIFF),
    "half a GeoTIFF": (vrt(source("b.tif")), {"b.tif": "II*\0" + WMS}, NO_TIFF),
    "a name that is XML": (vrt(source("below/&lt;VRTDataset/b.tif")), {}, "a name: rename it"),
    "mask of a source": (vrt(GOOD), {"good.tif.msk": vrt(SECRET)}, r"good\.tif\.msk: is the mask of a virtual r"),
    "mask, other case": (vrt(GOOD), {"GOOD.tif.MSK": vrt(SECRET)}, r"good\.tif\.msk: is the mask of"),
    "mask": (vrt(GOOD), {"a.vrt.msk": vrt(SECRET)}, r"\.msk: is the mask of a virtual raster or of a source"),
    "too deep": (vrt(GOOD, more="<MaskBand>" * 3000 + "</MaskBand>" * 3000), {}, MORE.format("elements too deep.*")),
    "mask of a TIFF": (vrt(GOOD), {"a.vrt.msk": "II*\0"}, r"\.msk: is the mask of a virtual raster or of a source"),
    "mask of one within": (vrt(source("b.vrt")), {"b.vrt": vrt(GOOD), "b.vrt.msk": "II*\0"}, r"\.msk: is the mask"),
    "in place of a name": (vrt(source("&lt;VRTDataset/&gt;", 0)), {}, NO_NAME),
    "server": (vrt(source("URL", 0)), {}, ON_SERVER),
    "server by GDAL's name": (vrt(source("/vsicurl/URL", 0)), {}, ON_SERVER),
    "CRS of PROJ's": (vrt(GOOD, srs="+proj=utm +zone=31 +nadgrids=SECRET"), {}, NO_CRS),
    "CRS of a file": (vrt(GOOD, srs="+init=SECRET:1"), {}, NO_CRS),
    "CRS of triangles": (vrt(GOOD, srs="+proj=tinshift +file=SECRET"), {}, NO_CRS),
    "CRS of a server": (vrt(GOOD, srs="URL"), {}, NO_CRS),
    **{f"CRS with {name}": (vrt(GOOD, GOOD, GOOD, srs=escape(HOSTILE[name])), {}, message) for name, message in (
        ("grid", NO_GRID), ("quoted grid", NO_GRID), ("derived", NO_GRID), ("with a space", "do not overlap"))},
    "CRS of control points": (vrt(GOOD, more="<GCPList Projection='+init=SECRET:1'/>"), {},
                              MORE.format("Projection of <GCPList>")),
}  # fmt: skip
"""Virtual rasters, what lies beside them, and what is said; None where they are read without what leads elsewhere."""


@pytest.mark.parametrize("name", LEADING)
def test_no_virtual_raster_leads_elsewhere(name: str, good: Path, tmp_path: Path, server: FaultyServer) -> None:
    text, beside, message = LEADING[name]
    server.files["b.tif"] = good.read_bytes()
    secret = tmp_path / "secret.tif"
    secret.write_bytes(good.read_bytes())
    (good.parent / "below" / "<VRTDataset").mkdir(parents=True)
    (good.parent / "below" / "<VRTDataset" / "b.tif").write_bytes(good.read_bytes())
    for file, content in {"a.vrt": text, **beside}.items():
        told = content.replace("SECRET", str(secret)).replace("URL", server.url("b.tif"))
        (good.parent / file).write_text(told, encoding="utf-8")
    with nobody_opens(secret):
        if message:
            with pytest.raises(InputError, match=message):
                planned(good.parent / "a.vrt", good, f"http://127.0.0.1:{server.port}")
        else:
            assert np.array_equal(values(planned(good.parent / "a.vrt", good)).t1[0], noise()[0])
    assert not server.requests


def test_a_virtual_raster_on_a_server_or_in_an_archive_is_refused(good: Path, server: FaultyServer) -> None:
    server.files["a.vrt"] = server.files["a.tif"] = all_bands(good, 0).encode()
    with zipfile.ZipFile(good.parent / "a.zip", "w") as zipped:
        zipped.writestr("a.vrt", all_bands(good, 0))
        zipped.writestr("a.tif", all_bands(good, 0))
    for folder in (server.url("")[:-1], f"/vsizip/{good.parent}/a.zip"):
        for name, message in (("a.vrt", "is a virtual raster on a server or in an archive, .*: copy it"),
                              ("a.tif", "cannot be opened as a GeoTIFF")):  # fmt: skip
            with nobody_opens(good), pytest.raises(InputError, match=message):
                planned(f"{folder}/{name}", good, drivers=("VRT", "zip"))


def test_a_virtual_raster_of_itself_is_told(good: Path) -> None:
    (good.parent / "a.vrt").write_text(all_bands("a.vrt"))
    with pytest.raises(InputError, match="is a virtual raster of virtual rasters too deep"):
        planned(good.parent / "a.vrt", good)


def test_virtual_rasters_that_multiply_are_told(good: Path) -> None:
    (good.parent / "a.vrt").write_text(all_bands("b.vrt"))
    (good.parent / "b.vrt").write_text(vrt(source("c.vrt") * 9_000))
    (good.parent / "c.vrt").write_text(vrt(GOOD, more=f"<Description>{'x' * 2_000_000}</Description>"))
    with pytest.raises(InputError, match=r"b\.vrt: is too large for a virtual raster: make it anew with gdalbuildvrt"):
        planned(good.parent / "a.vrt", good)
