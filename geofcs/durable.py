"""Files that appear under their name whole or not at all, and are still there after a power cut."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

READ_BYTES = 1 << 24


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    if path.is_dir():
        _sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems do not sync folders
            raise
    finally:
        os.close(descriptor)


def rename_synced(temporary: Path, path: Path) -> None:
    """Put a finished file in the place of `path`: content first, then the name, then the folder."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to write over; in the end it takes the place of `path`, unless something failed.

    Who may read it is as for any new file, whatever puts itself in its place meanwhile: safetensors' are the owner's.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)
        rename_synced(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
