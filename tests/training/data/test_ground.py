"""Training images are looked at for their place, and lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.training.data.ground import footprints
from tests.remote.conftest import hurried, server
from tests.remote.server import FaultyServer
from tests.scene.outside import nobody_opens
from tests.scene.rasters import noise, write

__all__ = ["hurried", "server"]

VRT = (
    "<VRTDataset rasterXSize='9' rasterYSize='9'><VRTRasterBand dataType='Byte' band='1'><SimpleSource><SourceFilename>"
    "SECRET</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
)
WMTS = "<GDAL_WMTS><GetCapabilitiesUrl>URL</GetCapabilitiesUrl></GDAL_WMTS>"


def test_the_place_of_an_image_is_its_bounds(tmp_path: Path) -> None:
    boxes = footprints([Path(write(tmp_path / "a.tif", noise()))])
    assert boxes is not None and boxes.tolist() == [[500_000, 4_999_100, 501_200, 5_000_000]]


@pytest.mark.parametrize(("name", "content"), [("a.tif", VRT), ("a.tif", WMTS), ("good.tif.msk", VRT)])
def test_what_is_no_geotiff_has_no_place(name: str, content: str, tmp_path: Path, server: FaultyServer) -> None:
    secret = Path(write(tmp_path / "secret.tif", noise()))
    write(tmp_path / "good.tif", noise())
    (tmp_path / name).write_text(content.replace("SECRET", str(secret)).replace("URL", server.url("a")))
    with nobody_opens(secret):
        assert footprints([tmp_path / name.removesuffix(".msk")]) is None
    assert not server.requests
