"""What a file looks like from outside, enough to notice that it is another one now; and parts of remote ones."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geofcs.errors import InputError
from geofcs.remote.address import BUCKETS, WEB, Address
from geofcs.remote.bucket import BucketFile, look_into_bucket, read_bucket_part
from geofcs.remote.web import WebFile, look_at_web, read_web_part


@dataclass(frozen=True)
class FileState:
    """Size, and what the disk or the server says of the content; None is what nobody says.

    The inode is no part of it: mounted buckets number their files anew whenever they like.
    """

    size_bytes: int | None = None
    mtime_ns: int | None = None
    etag: str | None = None
    modified: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What is known of a file."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def differs_from(self, other: FileState) -> str | None:
        """The first thing that both know and that is not the same, as "size 12, was 10"; None if there is none."""
        before, now = other.as_json(), self.as_json()
        for name in before.keys() & now.keys():
            if before[name] != now[name]:
                return f"{name} {now[name]}, was {before[name]}"
        return None


def state_of(address: Address) -> FileState:
    """The file as it is now.

    Raises `InputError` if there is none that could be read, and where a server does not hand out parts of files;
    `SourceError` if the server did not answer in many tries.
    """
    state = LOOKS.get(address.scheme, _look_on_disk)(address)
    if state.size_bytes == 0:
        raise InputError(f"{address.shown}: is empty (0 bytes): copy or download it again")
    return state


def _look_on_disk(address: Address) -> FileState:
    path = address.rest
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}): check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder: name one file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is no regular file (a pipe or a device): copy it to a file first")
    return FileState(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def read_part(address: Address, first: int, count: int) -> tuple[bytes, FileState]:
    """`count` bytes of a remote file from `first` on (fewer at its end), and what the file was when they were sent.

    Exactly those bytes, or an error as in `state_of`.
    """
    read = read_web_part if address.scheme in WEB else read_bucket_part
    content, file = read(address, first, count)
    return content, _state(file)


def _state(file: WebFile | BucketFile) -> FileState:
    return FileState(size_bytes=file.size_bytes, etag=file.etag, modified=file.modified)


LOOKS: dict[str, Callable[[Address], FileState]] = {
    **dict.fromkeys(WEB, lambda address: _state(look_at_web(address))),
    **dict.fromkeys(BUCKETS, lambda address: _state(look_into_bucket(address))),
}
