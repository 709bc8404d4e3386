"""Whole files from a server: weights and areas of interest."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.errors import InputError, SourceError
from geofcs.model.shipped import named_or_shipped
from geofcs.remote import fetch, fetched, parse_address
from geofcs.scene import SceneOptions, plan_pair
from tests.remote.scenes import served_scene
from tests.remote.server import TRANSIENT, Faults, FaultyServer

CONTENT = bytes(range(256)) * 400
AREA = """{"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}},
"features": [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates":
[[[500500, 4999500], [502000, 4999500], [502000, 4998000], [500500, 4999500]]]}}]}"""
"""A triangle over 150 x 150 pixels of the scene."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PART_BYTES", 5000)


@pytest.mark.parametrize("kind", [each for each in TRANSIENT if each != "stall"])
def test_what_is_fetched_is_right_whatever_the_server_does(kind: str, server: FaultyServer, tmp_path: Path) -> None:
    server.files["w.bin"] = CONTENT
    server.faults = Faults((kind,), probability=0.3, seed=2)
    assert fetched(parse_address(server.url("w.bin")), tmp_path).read_bytes() == CONTENT
    assert server.faults.injected[kind] > 3


def test_a_file_that_changes_while_it_is_fetched_leaves_nothing(server: FaultyServer, tmp_path: Path) -> None:
    server.files["w.bin"] = CONTENT

    def change(_request: str, number: int) -> None:
        if number == 9:
            server.etags["w.bin"] = '"other"'

    server.faults = Faults(pick=change)
    with pytest.raises(InputError, match=r"w\.bin: was changed while it was fetched"):
        fetched(parse_address(server.url("w.bin")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_come_leaves_nothing(server: FaultyServer, tmp_path: Path) -> None:
    server.files["w.bin"] = CONTENT
    server.faults = Faults(pick=lambda _request, number: "503" if number > 5 else None)
    with pytest.raises(SourceError, match=r"w\.bin: its server did not answer"):
        fetched(parse_address(server.url("w.bin")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_at_an_address_are_kept_and_not_fetched_again(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    server.files["pico.safetensors"] = CONTENT
    path = named_or_shipped(server.url("pico.safetensors") + "?token=hidden")
    assert path.is_relative_to(tmp_path)
    assert path.read_bytes() == CONTENT
    assert "hidden" not in str(path)
    server.requests.clear()
    assert named_or_shipped(server.url("pico.safetensors") + "?token=fresh") == path
    assert len(server.requests) == 1
    assert named_or_shipped(str(path)) == path


def test_an_area_of_interest_is_read_from_a_server(server: FaultyServer) -> None:
    server.files |= {"a.tif": served_scene("deflate").content, "area.geojson": AREA.encode()}
    scene = server.url("a.tif")
    pair = plan_pair(scene, scene, SceneOptions(aoi=server.url("area.geojson?token=hidden")))
    assert pair.grid.shape == (150, 150)
    assert "hidden" not in str(pair.describe()) + repr(pair)
