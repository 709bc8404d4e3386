"""Small remote files as a whole: weights and areas of interest, which are not read in parts."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from geofcs.durable import rename_synced
from geofcs.errors import InputError, OutputError
from geofcs.remote.address import Address
from geofcs.remote.state import FileState, read_part, state_of

PART_BYTES = 2**23

MOST_BYTES = 2**33
"""Weights and areas are far smaller: a file beyond 8 GiB is a mistake."""


def cache_folder() -> Path:
    """Where fetched files are kept for the next run: geofcs in XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geofcs"


def fetched(address: Address, folder: Path) -> Path:
    """The file at a remote address, as a file in `folder`; fetched unless it lies there already.

    Its name tells which address and which content (ETag, size, time) it was. Raises `InputError` and `SourceError` as
    `geofcs.remote.state_of`, `OutputError` if it cannot be kept.
    """
    state = state_of(address)
    if state.size_bytes is None or state.size_bytes > MOST_BYTES:
        raise InputError(f"{address.shown}: is too large to be fetched as a whole: download it first")
    identity = hashlib.sha256(f"{address.shown}\n{sorted(state.as_json().items())}".encode()).hexdigest()[:16]
    kept = folder / f"{identity}-{address.name}"
    if kept.exists() and state.etag and kept.stat().st_size == state.size_bytes:
        return kept
    unfinished = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}.unfinished")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            for part in _parts(address, state):
                file.write(part)
        rename_synced(unfinished, kept)
    except OSError as error:
        raise OutputError(
            f"{folder}: {address.name} cannot be kept there ({error.strerror or error}): free some space, or name "
            "another folder with XDG_CACHE_HOME"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return kept


def _parts(address: Address, state: FileState) -> Iterator[bytes]:
    """The content in parts, all of one and the same file."""
    for first in range(0, state.size_bytes or 0, PART_BYTES):
        part, now = read_part(address, first, PART_BYTES)
        if now.differs_from(state):
            raise InputError(f"{address.shown}: was changed while it was fetched: give the command again")
        yield part
