"""Files in the buckets of object stores, through Arrow, which finds credentials where the stores' own tools do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from geofcs.errors import InputError, SourceError
from geofcs.gdal import network_setting, s3_endpoint
from geofcs.remote.address import Address
from geofcs.remote.patience import attempts, timeout_seconds

REFUSALS = ("ACCESS_DENIED", "Access Denied", "Forbidden", "HTTP status 401", "HTTP status 403", "InvalidAccessKeyId",
            "SignatureDoesNotMatch", "ExpiredToken")  # fmt: skip
"""What stores say to those they do not let in."""


Answer = TypeVar("Answer")


@dataclass(frozen=True)
class BucketFile:
    """A file's size, and its ETag and time of change, where the store tells them."""

    size_bytes: int
    etag: str | None
    modified: str | None


def look_into_bucket(address: Address) -> BucketFile:
    """What the store says of a file.

    Raises `InputError` if it is missing or refused, `SourceError` if no answer comes.
    """
    return _patiently(address, _told)


def read_bucket_part(address: Address, first: int, count: int) -> tuple[bytes, BucketFile]:
    """`count` bytes from `first` on, fewer at the end, and what the file was then; errors as in `look_into_bucket`."""

    def read(file: Any) -> tuple[bytes, BucketFile]:
        return file.read_at(count, first), _told(file)

    return _patiently(address, read)


def _told(file: Any) -> BucketFile:
    told = {name: value.decode("utf-8", "replace") for name, value in (file.metadata() or {}).items()}
    return BucketFile(file.size(), told.get("ETag"), told.get("Last-Modified"))


def _patiently(address: Address, look: Callable[[Any], Answer]) -> Answer:
    """What a look at the open file gives."""
    import pyarrow.fs  # takes an eighth of a second: few runs have files in buckets

    refusals, reason = 0, "no answer"
    for _ in attempts():
        try:
            with STORES[address.scheme](pyarrow.fs).open_input_file(address.rest) as file:
                return look(file)
        except FileNotFoundError:
            raise InputError(f"{address.shown}: no such file in the bucket: check bucket and name") from None
        except (OSError, pyarrow.ArrowException) as error:
            reason = type(error).__name__
            refusals += any(said in str(error) for said in REFUSALS)
            if refusals == 2:
                raise InputError(
                    f"{address.shown}: access is refused: check the credentials in the environment (for s3 AWS_PROFILE "
                    "or AWS_ACCESS_KEY_ID; AWS_NO_SIGN_REQUEST=YES for public buckets), or whether they have expired; "
                    "with fresh ones the same command goes on"
                ) from None
    raise SourceError(
        f"{address.shown}: its store did not answer in many tries ({reason}): when it does again, the same command "
        "goes on"
    )


def _s3(fs: Any) -> Any:
    """Amazon's store, or another that speaks its language; GDAL's variables hold, and AWS_ENDPOINT_URL."""
    endpoint = s3_endpoint()
    return fs.S3FileSystem(
        anonymous=os.environ.get("AWS_NO_SIGN_REQUEST", "NO").upper() in ("YES", "TRUE", "ON", "1"),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
        endpoint_override=endpoint.get("AWS_S3_ENDPOINT"),
        scheme="http" if endpoint.get("AWS_HTTPS") == "NO" else "https",
        connect_timeout=float(network_setting("GDAL_HTTP_CONNECTTIMEOUT")),
        request_timeout=timeout_seconds(),
    )


def _gs(fs: Any) -> Any:
    limit = timedelta(seconds=timeout_seconds())
    anonymous = os.environ.get("GS_NO_SIGN_REQUEST", "NO").upper() in ("YES", "TRUE", "ON", "1")
    return fs.GcsFileSystem(anonymous=anonymous, retry_time_limit=limit)


def _az(fs: Any) -> Any:
    account = os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise InputError("az://...: the storage account is not known: set AZURE_STORAGE_ACCOUNT")
    return fs.AzureFileSystem(account, os.environ.get("AZURE_STORAGE_ACCESS_KEY"))


STORES: dict[str, Callable[[Any], Any]] = {"s3": _s3, "gs": _gs, "az": _az}
"""By scheme, how a store is spoken to through Arrow's module of file systems."""
