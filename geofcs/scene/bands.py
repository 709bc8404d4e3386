"""Which bands of a file are red, green and blue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from geofcs.errors import InputError

RGB = ("red", "green", "blue")

NAMINGS = (RGB, ("r", "g", "b"), ("b4", "b3", "b2"))
"""How descriptions call red, green and blue; the last is how Sentinel-2 and Landsat 8 and 9 number them."""


@dataclass(frozen=True)
class FileBands:
    """The bands of one file: for each its description ("" if none) and its colour interpretation."""

    path: str
    descriptions: tuple[str, ...]
    colours: tuple[str, ...]

    @property
    def features(self) -> list[int]:
        """1-based numbers of the bands that hold image, not transparency."""
        return [number for number, colour in enumerate(self.colours, 1) if colour != "alpha"]

    @property
    def alpha(self) -> int | None:
        """The band that says where the image is valid."""
        return self.colours.index("alpha") + 1 if "alpha" in self.colours else None

    def label(self, number: int) -> str:
        """A band's number, with its name if it has one: "3 (B02)"."""
        name = self.descriptions[number - 1] or self.colours[number - 1]
        return f"{number} ({name})" if name not in {"undefined", "gray"} else str(number)


@dataclass(frozen=True)
class BandChoice:
    """One or three 1-based band numbers with a label for each, and why they were taken."""

    numbers: tuple[int, ...]
    labels: tuple[str, ...]
    reason: str


def choose_bands(bands: FileBands, wanted: str | None) -> BandChoice:
    """The bands that `wanted` names, or by colour interpretation, by description, or the first three.

    Raises `InputError` for names that the file does not have, and where there is no way to choose.
    """
    if wanted is not None:
        return _choice(bands, _named(bands, wanted), "as asked for")
    if len(bands.features) == 1:
        return _choice(bands, bands.features, "the only band, taken for red, green and blue")
    by_colour = _found(RGB, bands.colours)
    if by_colour:
        return _choice(bands, by_colour, "by colour interpretation")
    by_name = next(filter(None, (_found(naming, _simplified(bands)) for naming in NAMINGS)), None)
    if by_name:
        return _choice(bands, by_name, "by description")
    if len(bands.features) < 3:
        raise InputError(
            f"{bands.path}: has too few bands for red, green and blue, {_listing(bands)}: choose one with --bands"
        )
    return _choice(
        bands, bands.features[:3], "the first three; nothing says which are red, green and blue, --bands does"
    )


def _choice(bands: FileBands, numbers: Sequence[int], reason: str) -> BandChoice:
    return BandChoice(tuple(numbers), tuple(bands.label(number) for number in numbers), reason)


def _named(bands: FileBands, wanted: str) -> list[int]:
    names = [name.strip() for name in wanted.split(",")]
    if len(names) not in (1, 3):
        raise InputError(f"{bands.path}: --bands {wanted} names {len(names)} bands: name one, or red, green and blue")
    return [_number(bands, name) for name in names]


def _number(bands: FileBands, name: str) -> int:
    number = int(name) if name.isdecimal() else _by_name(bands, name)
    if number is None or not 1 <= number <= len(bands.colours):
        raise InputError(f"{bands.path}: has no band {name!r}, {_listing(bands)}: name these with --bands")
    if number not in bands.features:
        raise InputError(
            f"{bands.path}: band {number} is transparency (alpha), not image: choose another with --bands, or, if it "
            f"is mislabelled, gdal_edit.py -colorinterp_{number} undefined"
        )
    return number


def _by_name(bands: FileBands, name: str) -> int | None:
    simple = _simple(name)
    for names in (_simplified(bands), bands.colours):
        if simple and simple in names:
            return names.index(simple) + 1
    return None


def _found(naming: Sequence[str], names: Sequence[str]) -> list[int] | None:
    if all(names.count(name) == 1 for name in naming):
        return [names.index(name) + 1 for name in naming]
    return None


def _simplified(bands: FileBands) -> tuple[str, ...]:
    return tuple(map(_simple, bands.descriptions))


def _simple(name: str) -> str:
    """A name in lower case without what is put before it: "B04" is "b4", "vis-red" is "red"."""
    bare = re.sub(r"^(vis|sr|toa)[-_ ]", "", name.strip().lower())
    return re.sub(r"^b(and)?[-_ ]?0*(?=\d)", "b", bare)


def _listing(bands: FileBands) -> str:
    return f"its bands are {', '.join(bands.label(number) for number in range(1, len(bands.colours) + 1))}"
