"""s3:// against a server that speaks S3, on loopback: scenes, changes, credentials, fetching."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from geofcs.errors import InputError, SourceError
from geofcs.remote import fetched, parse_address, read_part, state_of
from geofcs.scene import SceneOptions, plan_pair
from tests.remote.scenes import served_scene, windows, wrong_pixels
from tests.remote.store import Store

SCENE = served_scene("deflate")
NAME = "a folder/t1.tif"


@pytest.fixture(autouse=True)
def _one_scene(store: Store) -> None:
    store.put(NAME, SCENE.content)


@pytest.mark.parametrize("address", [f"s3://scenes/{NAME}", f"/vsis3/scenes/{NAME}"])
def test_scenes_in_buckets_are_read_as_from_a_disk(address: str, store: Store) -> None:
    pair = plan_pair(address, address, SceneOptions())
    assert wrong_pixels(pair, SCENE.pixels, windows(512, 96, 6)) == 0
    assert "hidden" not in str(pair.describe()) + repr(pair)
    assert pair.describe()["t1"]["path"] == f"s3://scenes/{NAME}"
    assert pair.describe()["t1"]["etag"].strip('"')


def test_gdals_own_variables_name_the_store_as_well(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_S3_ENDPOINT", store.endpoint.removeprefix("http://"))
    monkeypatch.setenv("AWS_HTTPS", "NO")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "FALSE")
    pair = plan_pair(f"s3://scenes/{NAME}", f"s3://scenes/{NAME}", SceneOptions())
    assert wrong_pixels(pair, SCENE.pixels, windows(512, 96, 2)) == 0


def test_an_object_that_is_replaced_is_noticed(store: Store) -> None:
    address = store.put("changing.tif", SCENE.content)
    pair = plan_pair(address, address, SceneOptions())
    store.put("changing.tif", served_scene("deflate", seed=9).content)
    with pytest.raises(InputError, match=r"changing\.tif: has changed since the run was planned"):
        pair.check_unchanged()
    with pytest.raises(InputError, match="has changed"):
        pair.open().__enter__()
    store.client.delete_object(Bucket="scenes", Key="changing.tif")
    with pytest.raises(SourceError, match=r"changing\.tif: no such file in the bucket"):
        pair.check_unchanged()


@pytest.mark.parametrize("address", ["s3://scenes/none.tif", "s3://nobodys/none.tif"])
def test_what_is_not_in_the_bucket(address: str, store: Store) -> None:
    with pytest.raises(InputError, match=r"none\.tif: no such file in the bucket: check bucket and name"):
        plan_pair(address, address, SceneOptions())


def test_a_store_that_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "1")
    with pytest.raises(SourceError, match=r"its store did not answer in many tries") as caught:
        plan_pair(f"s3://scenes/{NAME}", f"s3://scenes/{NAME}", SceneOptions())
    assert caught.value.exit_code == 4


def test_signed_addresses_work_and_keep_their_secret(store: Store) -> None:
    signed = store.client.generate_presigned_url("get_object", {"Bucket": "scenes", "Key": NAME})
    assert "Signature" in signed
    pair = plan_pair(signed, signed, SceneOptions())
    assert wrong_pixels(pair, SCENE.pixels, windows(512, 96, 2)) == 0
    assert "Signature" not in str(pair.describe()) + repr(pair) + str(pair.notes)


def test_parts_of_objects_are_exactly_those(store: Store) -> None:
    address = parse_address(f"s3://scenes/{NAME}")
    size = len(SCENE.content)
    for first, count in ((0, 1), (100, 1000), (size - 5, 100)):
        content, state = read_part(address, first, count)
        assert content == SCENE.content[first : first + count]
        assert state == state_of(address)


def test_a_whole_object_is_fetched_once(store: Store, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    address = parse_address(store.put("weights.safetensors", content))
    path = fetched(address, tmp_path)
    assert path.read_bytes() == content
    before = path.stat().st_mtime_ns
    assert fetched(address, tmp_path) == path
    assert path.stat().st_mtime_ns == before
    store.put("weights.safetensors", content[::-1])
    other = fetched(address, tmp_path)
    assert other != path
    assert other.read_bytes() == content[::-1]
