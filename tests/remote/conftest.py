"""Servers on loopback, and a network that does not wait long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.remote.server import FaultyServer, serving


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after hundredths of a second, and stalls given up after one."""
    for name, value in {
        "GDAL_HTTP_MAX_RETRY": "6",
        "GDAL_HTTP_RETRY_DELAY": "0.02",
        "GDAL_HTTP_TIMEOUT": "1",
        "GDAL_HTTP_CONNECTTIMEOUT": "1",
        "GDAL_HTTP_LOW_SPEED_TIME": "1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(hurried: None) -> Iterator[FaultyServer]:
    """A server without files and faults."""
    with serving(FaultyServer({})) as running:
        yield running
