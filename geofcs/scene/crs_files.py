"""CRSs that name files: PROJ would open them, wherever they lie, as soon as something is projected."""

from __future__ import annotations

import re

from geofcs.errors import InputError

FILES = re.compile(
    r'(?:grids=|init=|"PROJ4_GRIDS"\s*,\s*"|PARAMETERFILE\s*\[\s*"[^"]*"\s*,\s*")([^"\s]*)', re.IGNORECASE
)
"""Names of files in a CRS as PROJ or either kind of well-known text writes it."""

PATH = re.compile(r"[/\\~]")
"""What a name of a grid among PROJ's own data, which a CRS may use, does not have."""


def check_crs(path: str, text: str) -> None:
    """Raise `InputError` if the CRS of a file names another file by its path or address."""
    for names in FILES.findall(text):
        if PATH.search(names):
            raise InputError(
                f"{path}: its CRS names another file ({names[:80]}), which is not opened: write the file anew in a CRS "
                "of EPSG"
            )
