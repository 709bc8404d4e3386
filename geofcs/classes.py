"""Which land-cover classes a model knows, and the from-to codes that change maps are written in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from geofcs.errors import InputError

Colour = tuple[int, int, int]

NO_CHANGE = 0
"""The code, and the class id, of a pixel that did not change."""

IGNORE = 255
"""The id of label pixels that count in no loss and no metric."""

PERCENT_NODATA = 255
"""The value of a pixel without a change score in a percent raster; land-cover rasters use it too."""

CLASSES_TAG = "GEOFCS_CLASSES"
"""The GeoTIFF tag in which a raster carries its class scheme, as `scheme_to_json` writes it."""

MOST_CLASSES_IN_A_BYTE = 16
"""With more classes than this ("no change" counted), codes no longer fit below 255 and rasters become uint16."""


@dataclass(frozen=True)
class LandCover:
    """One class: its name and its colour, RGB 0-255."""

    name: str
    colour: Colour


@dataclass(frozen=True)
class Transition:
    """One from-to code with the ids and the name it stands for."""

    code: int
    from_id: int
    to_id: int
    name: str
    colour: Colour


@dataclass(frozen=True)
class ClassScheme:
    """Names, ids and colours of land covers, and the from-to codes made of them.

    `land_covers[i]` has id i + 1; id 0 is "no change" and is none of them. A scheme without land covers is the
    binary one: its only code, 1, means "changed".

    With K - 1 land covers the code of a change from id a to id b is 1 + (a - 1)(K - 1) + (b - 1); 0 is no change.
    A change from a class to itself (one building replaced by another) keeps its code.
    """

    name: str
    land_covers: tuple[LandCover, ...]

    def __post_init__(self) -> None:
        names = [cover.name for cover in self.land_covers]
        if len(set(names)) != len(names):
            raise InputError(f"class scheme {self.name!r} names a class twice: {', '.join(names)}")
        if len(names) == 1:
            raise InputError(
                f"class scheme {self.name!r} has one class only: from-to needs two, the binary scheme none"
            )
        if len(names) > 255:
            raise InputError(f"class scheme {self.name!r} has {len(names)} classes; from-to codes allow 255")

    @property
    def count(self) -> int:
        """K: how many classes the model tells apart, "no change" included (7 for SECOND)."""
        return len(self.land_covers) + 1

    @property
    def is_binary(self) -> bool:
        """Whether the scheme only says changed or not."""
        return not self.land_covers

    @cached_property
    def transitions(self) -> tuple[Transition, ...]:
        """Every code from 1 on, in order."""
        if self.is_binary:
            return (Transition(1, 0, 0, "changed", (214, 39, 40)),)
        return tuple(self._iter_transitions())

    def _iter_transitions(self) -> Iterator[Transition]:
        for a, before in enumerate(self.land_covers, 1):
            for b, after in enumerate(self.land_covers, 1):
                name = f"{before.name} -> {after.name}" if a != b else f"{before.name} (changed within)"
                yield Transition(int(self.encode(a, b)), a, b, name, _mixed(before.colour, after.colour))

    @property
    def code_dtype(self) -> np.dtype[Any]:
        """The pixel type of a from-to raster: uint8, or uint16 beyond 16 classes."""
        return np.dtype(np.uint8 if self.count <= MOST_CLASSES_IN_A_BYTE else np.uint16)

    @property
    def nodata(self) -> int:
        """The code of a pixel about which nothing is known: 255, or 65535 in uint16."""
        return int(np.iinfo(self.code_dtype).max)

    @property
    def code_names(self) -> dict[int, str]:
        """What each code means, "no change" included."""
        return {NO_CHANGE: "no change", **{each.code: each.name for each in self.transitions}}

    @property
    def code_colours(self) -> dict[int, Colour]:
        """The colour of each code; no change is white."""
        return {NO_CHANGE: (255, 255, 255), **{each.code: each.colour for each in self.transitions}}

    def encode(self, from_ids: npt.ArrayLike, to_ids: npt.ArrayLike) -> npt.NDArray[Any]:
        """From-to codes of changed pixels, in `code_dtype`; ids are 1..K-1 (anything in a binary scheme)."""
        before = np.asarray(from_ids, dtype=np.int32)
        if self.is_binary:
            return np.ones(before.shape, self.code_dtype)
        covers = len(self.land_covers)
        return (1 + (before - 1) * covers + (np.asarray(to_ids, dtype=np.int32) - 1)).astype(self.code_dtype)

    def cover_name(self, class_id: int) -> str:
        """The name of a class id; "" for 0."""
        return self.land_covers[class_id - 1].name if class_id else ""


def _mixed(before: Colour, after: Colour) -> Colour:
    """A colour for a transition: mostly what it became, with a share of what it was so that rows differ."""
    r, g, b = (round(0.3 * old + 0.7 * new) for old, new in zip(before, after, strict=True))
    return r, g, b


SECOND = ClassScheme(
    "second",
    (
        LandCover("low vegetation", (0, 128, 0)),
        LandCover("non-vegetated ground", (128, 128, 128)),
        LandCover("tree", (0, 255, 0)),
        LandCover("water", (0, 0, 255)),
        LandCover("building", (128, 0, 0)),
        LandCover("playground", (255, 0, 0)),
    ),
)

LANDSAT = ClassScheme(
    "landsat",
    (
        LandCover("farmland", (0, 155, 0)),
        LandCover("desert", (255, 165, 0)),
        LandCover("building", (230, 30, 100)),
        LandCover("water", (0, 170, 240)),
    ),
)

BINARY = ClassScheme("binary", ())

SCHEMES = {scheme.name: scheme for scheme in (SECOND, LANDSAT, BINARY)}


def scheme_named(name: str) -> ClassScheme:
    """The published scheme of that name, or an `InputError` that lists the names there are."""
    if name not in SCHEMES:
        raise InputError(f"no class scheme is called {name!r}; known are {', '.join(SCHEMES)}")
    return SCHEMES[name]


def scheme_to_json(scheme: ClassScheme) -> str:
    """A class scheme as the text that rasters carry in their `GEOFCS_CLASSES` tag."""
    covers = [{"name": cover.name, "colour": list(cover.colour)} for cover in scheme.land_covers]
    return json.dumps({"name": scheme.name, "land_covers": covers}, ensure_ascii=False)


def scheme_from_json(text: str) -> ClassScheme:
    """The class scheme that `scheme_to_json` wrote, or an `InputError` saying what is wrong with the text."""
    try:
        content = json.loads(text)
        covers = tuple(LandCover(str(each["name"]), _colour(each["colour"])) for each in content["land_covers"])
        return ClassScheme(str(content["name"]), covers)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not a class scheme: {text[:80]!r} ({type(error).__name__}: {error})") from error


def _colour(values: Any) -> Colour:
    r, g, b = (int(value) for value in values)
    if not all(0 <= value <= 255 for value in (r, g, b)):
        raise ValueError(f"colour {[r, g, b]} is not within 0 to 255")
    return r, g, b
