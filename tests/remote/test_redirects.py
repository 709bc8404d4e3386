"""Redirects: followed within the web, never from the public internet into the network of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from geofcs.errors import GeofcsError, InputError
from geofcs.remote import parse_address, state_of
from geofcs.remote.hosts import inner_address
from tests.remote.server import FaultyServer, serving


@pytest.fixture
def other(hurried: None) -> Iterator[FaultyServer]:
    """A second server, with a file."""
    with serving(FaultyServer({"a.tif": b"0123456789"})) as running:
        yield running


def test_a_redirect_is_followed_and_takes_no_password_to_another_server(
    server: FaultyServer, other: FaultyServer
) -> None:
    server.redirects["a.tif"] = other.url("a.tif")
    server.files["b.tif"], server.redirects["same.tif"] = b"01234", server.url("b.tif")
    assert state_of(parse_address(with_password(server.url("a.tif")))).size_bytes == 10
    assert (server.passwords, other.passwords) == (["Basic dTpw"], [None])
    assert state_of(parse_address(with_password(server.url("same.tif")))).size_bytes == 5
    assert server.passwords[1:] == ["Basic dTpw"] * 2


def with_password(url: str) -> str:
    return url.replace("http://", "http://u:p@")


def test_a_public_server_leads_nobody_into_the_own_network(
    server: FaultyServer, other: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_but_the_first_server(url: str) -> str | None:
        return None if url.startswith(server.url("")) else inner_address(url)

    monkeypatch.setattr("geofcs.remote.web.inner_address", all_but_the_first_server)
    server.redirects["a.tif"] = other.url("a.tif")
    with pytest.raises(InputError, match=r"127\.0\.0\.1: its server redirects to 127\.0\.0\.1 \(127\.0\.0\.1\) in the"):
        state_of(parse_address(server.url("a.tif")))
    assert other.requests == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/a.tif"])
def test_a_redirect_out_of_the_web_is_not_followed(server: FaultyServer, target: str) -> None:
    server.redirects["a.tif"] = target
    with pytest.raises(GeofcsError, match=r"which is not followed|did not answer in many tries \(HTTP 302\)"):
        state_of(parse_address(server.url("a.tif")))
