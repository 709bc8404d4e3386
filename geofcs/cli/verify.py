"""`geofcs verify`: is a finished output still what was written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

Out = Annotated[Path, Argument(metavar="OUT", help="The output folder of geofcs detect.")]


def verify(out: Out) -> None:
    """Check a finished output: every byte against run.json, every block of every raster, every polygon.

    Exit code 8 and the names of the files if anything is damaged.
    """
    from geofcs.cli.terminal import stderr
    from geofcs.space import told
    from geofcs.verify import verify as run

    found = run(out)
    stderr.print(
        f"{out}: {found.files} files, {told(found.bytes)}, {found.polygons} polygons: all as written", markup=False
    )
