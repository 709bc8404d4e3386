"""Scenes on a server: every pixel right or an error, whatever the server does; and nothing is asked in vain."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofcs.errors import GeofcsError, InputError, SourceError
from geofcs.gdal import gdal_settings
from geofcs.scene import SceneOptions, ScenePair, plan_pair
from geofcs.scene.files import RasterFile
from tests.remote.conftest import hurried, server
from tests.remote.scenes import served_scene, windows, wrong_pixels
from tests.remote.server import TRANSIENT, Faults, FaultyServer

__all__ = ["hurried", "server"]

DEFLATE = served_scene("deflate")

MANY_TILES = served_scene("deflate", side=2048, block=16)
INDEX_BYTES = 2 * 4 * (2048 // 16) ** 2


@pytest.fixture
def pair(server: FaultyServer) -> ScenePair:
    """One scene as both dates, from a server that is well while it is planned."""
    server.files["a.tif"] = DEFLATE.content
    return plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions())


@pytest.mark.parametrize("kind", [each for each in TRANSIENT if each != "stall"])
def test_no_fault_of_a_server_makes_a_wrong_pixel(kind: str, pair: ScenePair, server: FaultyServer) -> None:
    server.faults = Faults((kind,), probability=0.15, seed=1)
    wanted = windows(512, 96, 14)
    assert sum(wrong_pixels(pair, DEFLATE.pixels, wanted[part::2]) for part in range(2)) == 0
    assert server.faults.injected[kind] > 2


def test_a_server_that_hangs_is_given_up_and_asked_again(pair: ScenePair, server: FaultyServer) -> None:
    server.faults = Faults(pick=lambda _path, number: "stall" if number in (3, 6) else None)
    assert wrong_pixels(pair, DEFLATE.pixels, windows(512, 96, 4)) == 0
    assert server.faults.injected["stall"] == 2


@pytest.mark.parametrize("kind", ["404", "short", "wrong range"])
def test_a_handle_with_a_broken_index_of_internal_tiles_is_not_believed(kind: str, server: FaultyServer) -> None:
    """It would read other tiles, or nothing but zeros, without a word."""
    server.files["a.tif"] = MANY_TILES.content
    pair = plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions())
    broken: set[str] = set()

    def break_once(request: str, _number: int) -> str | None:
        first = int(request.rsplit("=")[-1].split("-")[0]) if "bytes=" in request else 0
        if not 16 < first < INDEX_BYTES or request in broken:
            return None
        broken.add(request)
        return kind

    for seed in range(4):
        broken.clear()
        with pair.open() as reader:
            server.faults.pick = break_once
            for window in windows(MANY_TILES.pixels.shape[1], 40, 6, seed):
                rows, cols = window.toslices()
                assert np.array_equal(reader.read_values(window).t1, MANY_TILES.pixels[:, rows, cols])
            server.faults.pick = None
    assert server.faults.injected[kind] > 4


def test_what_failed_once_is_not_remembered(pair: ScenePair, server: FaultyServer) -> None:
    server.faults = Faults(("503",), probability=1.0)
    with pytest.raises(SourceError, match=r"a\.tif: its server did not answer in many tries \(HTTP 503\)"):
        pair.open().__enter__()
    server.faults = Faults()
    assert wrong_pixels(pair, DEFLATE.pixels, windows(512, 96, 3)) == 0


def test_truncated_answers_are_not_remembered(
    pair: ScenePair, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "2")
    with pair.open() as reader:
        server.faults = Faults(("short",), probability=1.0)
        with pytest.raises(SourceError, match=r"a\.tif: "):
            reader.read_values(pair.grid.window)
        server.faults = Faults()
    assert wrong_pixels(pair, DEFLATE.pixels, windows(512, 96, 3)) == 0


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refusal_is_believed_after_two_tries(status: str, pair: ScenePair, server: FaultyServer) -> None:
    server.faults, server.requests = Faults((status,), probability=1.0), []
    with pytest.raises(SourceError, match=rf"access is refused \(HTTP {status}\): .*signed address.*the same command"):
        pair.open().__enter__()
    assert len(server.requests) == 2
    with pytest.raises(InputError, match="access is refused"):
        plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions())


def test_access_that_expires_while_pixels_are_read_is_told(pair: ScenePair, server: FaultyServer) -> None:
    with pair.open() as reader:
        server.faults = Faults(("403",), probability=1.0)
        with pytest.raises(SourceError, match="access is refused") as caught:
            reader.read_values(pair.grid.window)
    assert caught.value.exit_code == 4


def test_a_server_without_ranges_is_refused_at_once(server: FaultyServer) -> None:
    server.files["a.tif"], server.ranges = DEFLATE.content, False
    with pytest.raises(InputError, match=r"a\.tif: its server sends whole files only.*download it first"):
        plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions())
    assert len(server.requests) == 1


@pytest.mark.parametrize("retries", ["6", "0"])
def test_a_file_that_is_not_on_the_server(retries: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", retries)
    with pytest.raises(InputError, match=r"none\.tif: no such file on the server \(HTTP 404\)"):
        plan_pair(server.url("none.tif"), server.url("none.tif"), SceneOptions())


def test_an_empty_file_on_the_server(server: FaultyServer) -> None:
    server.files["a.tif"] = b""
    with pytest.raises(InputError, match="is empty"):
        plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions())


def test_a_server_that_is_not_there(hurried: None) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/a\.tif: its server did not answer.*ConnectionRefusedError"):
        plan_pair("http://127.0.0.1:9/a.tif", "http://127.0.0.1:9/a.tif", SceneOptions())


@pytest.mark.parametrize("what", ["etag", "size"])
def test_a_file_that_changes_on_the_server_is_noticed(what: str, pair: ScenePair, server: FaultyServer) -> None:
    pair.check_unchanged()
    if what == "etag":
        server.etags["a.tif"] = '"another"'
    else:
        server.files["a.tif"] += b"\0"
    for look in (pair.check_unchanged, lambda: pair.open().__enter__()):
        with pytest.raises(InputError, match=rf"a\.tif: has changed since the run was planned \({what}"):
            look()


def test_a_file_that_changes_while_it_is_read_never_mixes(pair: ScenePair, server: FaultyServer) -> None:
    """A handle that fails is replaced, but not by one of another file."""
    with pair.open() as reader:
        server.etags["a.tif"] = '"another"'
        server.files["a.tif"] = bytes(len(DEFLATE.content))
        with pytest.raises(InputError, match="has changed since the run was planned"):
            reader.read_values(pair.grid.window)


def test_a_header_is_believed_when_it_comes_twice(server: FaultyServer) -> None:
    """A tag that was lost on the way, such as nodata, must not decide a run."""
    with_nodata = served_scene("deflate", nodata=7)
    bare = with_nodata.content.replace(b"7\0", b"8\0", 1)
    assert bare != with_nodata.content
    server.files["a.tif"] = bare
    opened = []
    original = RasterFile.open

    def open_and_mend(self: RasterFile) -> rasterio.io.DatasetReader:
        opened.append(original(self))
        server.files["a.tif"] = with_nodata.content
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch, gdal_settings():
        patch.setattr(RasterFile, "open", open_and_mend)
        with RasterFile.found_at(server.url("a.tif")).inspected() as (_, dataset):
            assert dataset.nodata == 7
    assert len(opened) == 3


def test_secrets_of_an_address_are_shown_nowhere(server: FaultyServer) -> None:
    server.files["a.tif"] = DEFLATE.content
    signed = server.url("a.tif").replace("http://", "http://user:hidden@") + "?X-Amz-Signature=hidden"
    pair = plan_pair(signed, signed, SceneOptions())
    assert any("hidden" in request for request in server.requests)
    assert wrong_pixels(pair, DEFLATE.pixels, windows(512, 96, 2)) == 0
    assert b"hidden" in pickle.dumps(pair)
    for said in (repr(pair), str(pair.describe()), str(pair.notes)):
        assert "hidden" not in said
    for kind in ("503", "403", "short", "404", "stall"):
        server.faults = Faults((kind,), probability=1.0)
        with pytest.raises(GeofcsError) as caught, pytest.MonkeyPatch.context() as patch:
            patch.setenv("GDAL_HTTP_MAX_RETRY", "1")
            patch.setenv("GDAL_HTTP_TIMEOUT", "0.2")
            plan_pair(signed, signed, SceneOptions())
        assert "hidden" not in str(caught.value)


def test_a_fresh_signature_is_no_other_plan(server: FaultyServer) -> None:
    server.files["a.tif"] = DEFLATE.content
    plans = [plan_pair(f"{server.url('a.tif')}?signature={each}", server.url("a.tif"), SceneOptions()) for each in "ab"]
    assert plans[0].describe() == plans[1].describe()


def test_masks_are_read_over_the_network_as_well(server: FaultyServer, tmp_path: Path) -> None:
    mask = served_scene("deflate", seed=5)
    server.files |= {"a.tif": DEFLATE.content, "mask.tif": mask.content}
    (tmp_path / "a.tif").write_bytes(DEFLATE.content)
    pair = plan_pair(str(tmp_path / "a.tif"), server.url("a.tif"), SceneOptions(mask_t1=server.url("mask.tif")))
    server.faults = Faults(TRANSIENT[:5], probability=0.1)
    with pair.open() as reader:
        valid = reader.read_values(pair.grid.window).valid
    assert np.array_equal(valid, mask.pixels[0] == 0)
