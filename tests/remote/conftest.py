"""Servers on loopback, and a network that does not wait long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.remote.server import FaultyServer, serving
from tests.remote.store import Store, running_store, store_at


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after thousandths of a second, and stalls given up after one."""
    for name, value in {
        "GDAL_HTTP_MAX_RETRY": "6",
        "GDAL_HTTP_RETRY_DELAY": "0.005",
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


@pytest.fixture(scope="session")
def running() -> Iterator[str]:
    """The address of an S3 server."""
    with running_store() as endpoint:
        yield endpoint


@pytest.fixture
def store(running: str, hurried: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """That server as the environment names it, with a bucket."""
    return store_at(running, monkeypatch)
