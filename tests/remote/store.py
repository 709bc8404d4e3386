"""An S3 server on loopback with one bucket, and an environment that names it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Store:
    """An S3 server with one bucket of scenes, and who may write to it."""

    endpoint: str
    client: Any

    def put(self, name: str, content: bytes) -> str:
        """Store a file; returns its address."""
        self.client.put_object(Bucket="scenes", Key=name, Body=content)
        return f"s3://scenes/{name}"


@contextlib.contextmanager
def running_store() -> Iterator[str]:
    """The address of a server on a free port, whose log nobody reads."""
    from moto.server import ThreadedMotoServer  # takes half a second, which few tests need

    with contextlib.redirect_stderr(io.StringIO()):
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


def store_at(endpoint: str, patch: pytest.MonkeyPatch) -> Store:
    """The server as the environment names it, with an empty bucket."""
    import boto3

    for name in ("AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_NO_SIGN_REQUEST"):
        patch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "GDAL_HTTP_TIMEOUT": "10",
    }.items():
        patch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="scenes")
    return Store(endpoint, client)
