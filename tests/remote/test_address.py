"""What the name of a file may be, what is shown of it, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from geofcs.errors import InputError
from geofcs.remote import parse_address


@pytest.mark.parametrize(
    ("text", "gdal", "shown"),
    [
        ("https://example.org/x/a.tif", "/vsicurl/https://example.org/x/a.tif", "https://example.org/x/a.tif"),
        ("HTTP://example.org/a.tif", "/vsicurl/http://example.org/a.tif", "http://example.org/a.tif"),
        ("/vsicurl/https://example.org/a.tif", "/vsicurl/https://example.org/a.tif", "https://example.org/a.tif"),
        ("s3://bucket/a b/c.tif", "/vsis3/bucket/a b/c.tif", "s3://bucket/a b/c.tif"),
        ("/vsis3/bucket/c.tif", "/vsis3/bucket/c.tif", "s3://bucket/c.tif"),
        (
            "https://example.org/..a/b..tif?in=../c#/..",
            "/vsicurl/https://example.org/..a/b..tif?in=../c#/..",
            "https://example.org/..a/b..tif",
        ),
        ("gs://bucket/c.tif", "/vsigs/bucket/c.tif", "gs://bucket/c.tif"),
        ("az://container/c.tif", "/vsiaz/container/c.tif", "az://container/c.tif"),
        ("/data/a.tif", "/data/a.tif", "/data/a.tif"),
        ("/data/50% #1?.tif", "/data/50% #1?.tif", "/data/50% #1?.tif"),
    ],
)
def test_a_name_is_told_for_what_it_is(text: str, gdal: str, shown: str) -> None:
    address = parse_address(text)
    assert (address.gdal, address.shown) == (gdal, shown)
    assert address.name == shown.rsplit("/", 1)[-1]


@pytest.mark.parametrize("text", ["GTIFF_DIR:1:a.tif", "NETCDF:a.nc:x", "vrt:a.tif", "a.tif", "../a.tif", "%41.tif"])
def test_whatever_has_no_scheme_is_a_path_of_the_disk(text: str) -> None:
    assert parse_address(text).gdal == str(Path(text).absolute())


@pytest.mark.parametrize(
    "text",
    [
        "<VRTDataset rasterXSize='1'/>",
        "  <VRTDataset/>",
        "",
        "a\0.tif",
        "a\n.tif",
        "vrt:///data/a.tif?bands=1",
        "zip:///data/a.zip!a.tif",
        "zip+https://example.org/a.zip!a.tif",
        "file:///etc/passwd",
        "ftp://example.org/a.tif",
        "gopher://example.org/a.tif",
        "/vsizip/a.zip/a.tif",
        "/vsitar//vsicurl/http://example.org/a.tar/a.tif",
        "/vsigzip/a.tif.gz",
        "/vsimem/a.tif",
        "/vsistdin/",
        "/vsisubfile/10_20,/etc/passwd",
        "/vsisparse/a.xml",
        "/vsicached?chunk_size=1&file=a.tif",
        "/vsicrypt/key=a,file=b",
        "/vsi7z/a.7z/a.tif",
        "/vsicurl_streaming/http://example.org/a.tif",
        "/vsicurl?url=http://example.org/a.tif",
        "/vsicurl/file:///etc/passwd",
        "/vsicurl/ftp://example.org/a.tif",
        "https://example.org",
        "https://",
        "s3://bucket",
        "s3:///a.tif",
        "s3://127.0.0.1#/a.tif",
        "s3://localhost?/a.tif",
        "s3://user@169.254.169.254/a.tif",
        "/vsis3/example.org:80#/a.tif",
        "gs://a b/c.tif",
        "https://example.org/in/../out/a.tif",
        "https://example.org/in/%2e%2E/a.tif",
        "https://example.org/in/.%2e",
        "https://example.org/./a.tif?key=1",
        "https://example.org/in\\..\\a.tif",
        "/vsicurl/https://example.org/in/../a.tif",
        "s3://bucket/in/../a.tif",
    ],
)
def test_what_is_not_plainly_one_file_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_secrets_are_in_what_opens_a_file_and_in_nothing_that_is_shown() -> None:
    address = parse_address("https://user:pass%40word@example.org:8080/a.tif?X-Amz-Signature=secret#secret")
    assert "secret" in address.gdal
    assert address.shown == "https://example.org:8080/a.tif"
    for text in (address.shown, address.name, repr(address), str(address)):
        assert not any(secret in text for secret in ("secret", "pass", "user"))
    assert pickle.loads(pickle.dumps(address)).gdal == address.gdal  # noqa: S301, workers need it


def test_archives_are_looked_into_on_request_only() -> None:
    with pytest.raises(InputError, match="--allow-driver zip"):
        parse_address("/vsizip//data/a.zip/b/c.tif")
    address = parse_address("/vsizip//data/a.zip/b/c.tif", ("zip",))
    assert (address.gdal, address.shown) == ("/vsizip/{/data/a.zip}/b/c.tif", "/data/a.zip/b/c.tif")
    remote = parse_address("/vsizip/{https://example.org/a.zip?key=secret}/c.tif", ("zip",))
    assert remote.gdal == "/vsizip/{/vsicurl/https://example.org/a.zip?key=secret}/c.tif"
    assert "secret" not in remote.shown
    with pytest.raises(InputError, match="leads out of the archive"):
        parse_address("/vsizip//data/a.zip/../../etc/x.tif", ("zip",))
    with pytest.raises(InputError, match="no file system"):
        parse_address("/vsizip/{/vsimem/a.zip}/c.tif", ("zip",))
