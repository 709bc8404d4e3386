"""CRSs of inputs: those that name files are refused or lose the name, and all others place coordinates as before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pyproj
import pytest
from rasterio.crs import CRS

from geofcs.grid import same_crs
from geofcs.scene.crs_files import checked_crs, checked_raster_crs
from tests.scene.hostile_crs import HOSTILE
from tests.scene.outside import nobody_opens

UTM = pyproj.CRS.from_epsg(32631)


def used(crs: pyproj.CRS) -> None:
    with suppress(pyproj.exceptions.ProjError):
        pyproj.Transformer.from_crs(crs, UTM, always_xy=True).transform(3, 45)
    same_crs(CRS.from_wkt(crs.to_wkt()), CRS.from_epsg(32631))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_crs_makes_proj_open_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"NUM_OREC" + bytes(400))
    with nobody_opens(tmp_path / "secret"), suppress(ValueError):
        used(checked_crs(HOSTILE[name].replace("SECRET", str(tmp_path / "secret"))))


def test_a_crs_that_needs_a_file_is_refused_and_not_bent() -> None:
    for name in ("grid", "quoted grid", "operation", "vertical grid"):
        with pytest.raises(ValueError, match=r"its CRS names a file or an operation of PROJ's \(.*SECRET"):
            checked_crs(HOSTILE[name])


def test_what_follows_no_file_is_left_out_with_no_harm() -> None:
    assert "SECRET" not in checked_crs(HOSTILE["text of PROJ's"]).to_wkt()


@pytest.mark.parametrize(
    "said",
    ["+proj=tinshift +file=x", "+init=/x:1", "http://a/b", "/x", "x:1", "", "EPSG:0", "EPSG:4326 +nadgrids=x", "CS[x]",
     'COORDINATEOPERATION["x"]', 5, None, [], {}, {"type": "Conversion"}, {"type": "CRS", "init": "/x:1"},
     {"type": "xCRS", "proj": "tinshift", "file": "x"}],
)  # fmt: skip
def test_what_is_no_text_of_a_crs_is_refused_unread(said: Any) -> None:
    with pytest.raises(ValueError, match=r"its CRS is n.* write it anew in one of EPSG$"):
        checked_crs(said)


@pytest.mark.parametrize(
    "name",
    ["EPSG:32631", "EPSG:4326", "EPSG:3857", "EPSG:27700", "EPSG:2056", "EPSG:31467", "EPSG:7415", "EPSG:4979",
     "EPSG:3035", "EPSG:5514", "ESRI:54009", "IAU_2015:49900", "OGC:CRS84",
     "+proj=laea +lat_0=45 +ellps=bessel +towgs84=1,2,3", "+proj=sinu +R=6371007.181 +nadgrids=@null +wktext",
     "+proj=ob_tran +o_proj=longlat +o_lat_p=40"],
)  # fmt: skip
def test_any_other_crs_stays_what_it_is(name: str) -> None:
    crs = CRS.from_user_input(name)
    assert checked_crs(crs.to_wkt()).equals(pyproj.CRS.from_wkt(crs.to_wkt()))
    assert checked_raster_crs(crs) == crs
    if name.startswith("EPSG"):
        assert checked_raster_crs(crs).to_wkt() == crs.to_wkt()
