"""Which classes the labels of a folder are of: those asked for, those in its classes.json, or what a few show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme, scheme_from_json
from geofcs.errors import InputError
from geofcs.training.data.images import coloured_pixels, holds_ids, read_values

CLASSES_FILE = "classes.json"
"""A class scheme, as rasters carry it, for a folder with classes of its own."""

FIRST_LOOKED_AT = 8
"""Label files read to tell the classes."""

MOST = 0.5
"""A palette that knows more than this share of the coloured pixels is the labels'; other colours are mistakes."""


def scheme_for(folder: Path, wanted: ClassScheme | None) -> ClassScheme | None:
    """The classes asked for, else those that the folder names, if it does.

    Raises `InputError` where these are others: ids would be read as what they do not mean.
    """
    own = own_scheme(folder)
    if wanted is None or own is None or wanted.is_binary or wanted.land_covers == own.land_covers:
        return wanted or own
    raise InputError(
        f"{folder / CLASSES_FILE}: names the classes of {own.name}, but those of {wanted.name} were asked for: leave "
        "--classes out; in training say --dataset folder, or --set data.classes=null"
    )


def own_scheme(folder: Path) -> ClassScheme | None:
    """The classes that a folder's classes.json names, if there is one; raises `InputError`."""
    path = folder / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        return scheme_from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def scheme_of_colours(folder: Path, covers: Sequence[Path]) -> ClassScheme | None:
    """The published scheme whose palette a few label files are painted in, None where they hold ids.

    Single pixels may be wrong, which reading the file tells with their place. Raises `InputError` for another palette.
    """
    colours = [each for each in _some(covers) if not holds_ids(each, SECOND)]
    if not colours:
        return None
    shares = {}
    for scheme in (SECOND, LANDSAT):
        known, coloured = np.sum([coloured_pixels(each, scheme) for each in colours], axis=0)
        shares[scheme.name] = known / coloured if coloured else 1.0
        if shares[scheme.name] == 1:
            return scheme
    best = max((SECOND, LANDSAT), key=lambda scheme: shares[scheme.name])
    if shares[best.name] > MOST:
        return best
    raise InputError(
        f"{folder}: its labels are in colours of neither second nor landsat: name the classes in {CLASSES_FILE}"
    )


def scheme_of_codes(labels: Sequence[Path]) -> ClassScheme:
    """Landsat-SCD's for maps of its from-to codes, binary for maps of change."""
    return LANDSAT if any(((each > 1) & (each < 10)).any() for each in _some(labels)) else BINARY


def _some(files: Sequence[Path]) -> Iterator[npt.NDArray[Any]]:
    """Values of a few files, without those that cannot be read: these are told with all else that is wrong."""
    for path in files[:: max(1, len(files) // FIRST_LOOKED_AT)][:FIRST_LOOKED_AT]:
        with suppress(InputError):
            yield read_values(path)
