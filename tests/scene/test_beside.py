"""What lies beside a raster: masks and positions are found, and nothing leads to another file or a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from geofcs.errors import InputError
from tests.remote.conftest import hurried, server
from tests.remote.server import FaultyServer
from tests.scene.outside import nobody_opens
from tests.scene.rasters import ORIGIN, noise, plan, values, write

__all__ = ["hurried", "server"]

Make = Callable[[Path, Path, str], object]
"""Makes what lies at a path lead to a file or to a server."""

VRT = (
    "<VRTDataset rasterXSize='120' rasterYSize='90'><VRTRasterBand dataType='Byte' band='1'><SimpleSource>"
    "<SourceFilename>SECRET</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
WMTS = "<GDAL_WMTS><GetCapabilitiesUrl>URL</GetCapabilitiesUrl></GDAL_WMTS>"
NO_TIFF = "lies beside the scene as its .* file but is no TIFF"
NOT_REGULAR = "lies beside the scene but is no regular file: move it away"
LINK = "lies beside the scene but is a link to another folder"


def text(content: str) -> Make:
    return lambda path, secret, url: path.write_text(content.replace("SECRET", str(secret)).replace("URL", url))


def radar(path: Path, secret: Path, url: str) -> None:
    """A folder that one of GDAL's drivers takes for a product, and opens what that names."""
    path.mkdir()
    size = "<numberOfSamplesPerLine>120</numberOfSamplesPerLine><numberOfLines>90</numberOfLines>"
    (path / "product.xml").write_text(
        f"<product><imageAttributes><rasterAttributes><dataType>Magnitude Detected</dataType>{size}<bitsPerSample>8"
        "</bitsPerSample></rasterAttributes><fullResolutionImageData pole='HH'>x.tif</fullResolutionImageData>"
        "</imageAttributes></product>"
    )
    text(VRT)(path / "x.tif", secret, url)


def link(path: Path, secret: Path, _url: str) -> None:
    path.symlink_to(secret)


def pipe(path: Path, _secret: Path, _url: str) -> None:
    os.mkfifo(path)


def mask_beside(scene: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(scene, "r+") as file:
        file.write_mask(noise(bands=1)[0] > 100)


LEADING: dict[str, tuple[str, Make, str]] = {
    "other case": ("T1.tif.msk", text(VRT), NO_TIFF),
    "capitals": ("t1.TIF.MSK", text(WMTS), NO_TIFF),
    "overviews": ("T1.Tif.Ovr", text(VRT), NO_TIFF),
    "half a TIFF": ("t1.tif.msk", text("II*\0" + WMTS), NO_TIFF),
    "mask of a mask": ("T1.tif.msk.MSK", text(VRT), NO_TIFF),
    "folder": ("t1.tif.msk", radar, NOT_REGULAR),
    "folder of overviews": ("T1.tif.OVR", radar, NOT_REGULAR),
    "pipe": ("t1.tif.msk", pipe, NOT_REGULAR),
    "pipe as a position": ("T1.tfw", pipe, NOT_REGULAR),
    "link": ("t1.tif.msk", link, LINK),
    "link as a position": ("t1.tfw", link, LINK),
    "link as a text": ("t1_RPC.TXT", link, LINK),
}
"""Names beside t1.tif, what makes them lead elsewhere, and what is said."""


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return Path(write(tmp_path / "out" / "secret.tif", noise(seed=1)))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return Path(write(tmp_path / "in" / "t1.tif", noise()))


@pytest.mark.parametrize("name", LEADING)
def test_nothing_beside_a_raster_leads_elsewhere(name: str, scene: Path, secret: Path, server: FaultyServer) -> None:
    beside, make, message = LEADING[name]
    make(scene.with_name(beside), secret, server.url("b.xml"))
    with nobody_opens(secret), pytest.raises(InputError, match=message):
        plan(str(scene), str(scene))
    assert not server.requests


def test_nothing_beside_another_format_leads_elsewhere(scene: Path, secret: Path) -> None:
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        rasterio.shutil.copy(scene, scene.with_name("a.png"), driver="PNG", worldfile="yes")
    options = {"allow_drivers": ("PNG",), "assume_crs": "EPSG:32631"}
    assert np.array_equal(values(plan(str(scene.with_name("a.png")), str(scene), **options)).t1, noise())
    text(VRT)(scene.with_name("A.PNG.msk"), secret, "")
    with nobody_opens(secret), pytest.raises(InputError, match=NO_TIFF):
        plan(str(scene.with_name("a.png")), str(scene), **options)


def test_a_mask_and_a_position_beside_a_raster_are_read(scene: Path) -> None:
    mask_beside(scene)
    assert np.array_equal(values(plan(str(scene), str(scene))).valid, noise(bands=1)[0] > 100)
    bare = write(scene.with_name("bare.tif"), noise(), transform=None)
    scene.with_name("bare.tfw").write_text("\n".join(map(str, (10, 0, 0, -10, ORIGIN.c + 5, ORIGIN.f - 5))))
    assert plan(bare, str(scene)).grid == plan(str(scene), str(scene)).grid


def test_a_mask_that_is_linked_with_its_raster_is_read(scene: Path, tmp_path: Path) -> None:
    mask_beside(scene)
    for name in ("t1.tif", "t1.tif.msk"):
        (tmp_path / name).symlink_to(scene.with_name(name))
    linked = str(tmp_path / "t1.tif")
    assert np.array_equal(values(plan(linked, linked)).valid, noise(bands=1)[0] > 100)


def test_what_is_not_named_after_a_raster_does_not_matter(scene: Path, secret: Path) -> None:
    for name in ("t1b.tif.msk", "t2.tfw", "t1.tif.aux.xml", "t1_labels.tif", "readme.txt"):
        scene.with_name(name).symlink_to(secret)
    scene.with_name("t1.parts").mkdir()
    with nobody_opens(secret):
        assert np.array_equal(values(plan(str(scene), str(scene))).t1, noise())


def test_a_folder_that_cannot_be_listed_may_hold_no_mask(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    assert np.array_equal(values(plan(str(scene), str(scene))).t1, noise())
    shutil.copy(scene, scene.with_name("t1.tif.MSK"))
    with pytest.raises(InputError, match=r"in: cannot be listed \(Permission denied\), and a mask or overviews lie"):
        plan(str(scene), str(scene))
