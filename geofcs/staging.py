"""A folder that is written as a whole: nothing stands under its name before it is complete, and one writes at a time.

For what is made anew rather than gone on with; what goes on has a journal.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geofcs.errors import OutputError
from geofcs.lock import locked


@contextmanager
def staged(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder to write into, which becomes `out` if nothing fails, and goes if something does.

    What a killed process left of one goes first, under the lock of `out`. Raises `OutputError` where `out` exists and
    is not to be replaced, is being written by another process, or cannot be written.
    """
    out = out.resolve()
    staging = out.with_name(f".{out.name}.unfinished")
    with locked(out):
        if out.exists() and not overwrite:
            raise OutputError(f"{out}: exists: choose another folder with -o, or --overwrite it")
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            yield staging
            if out.exists():
                shutil.rmtree(out)
            staging.rename(out)
        except OSError as error:
            raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
