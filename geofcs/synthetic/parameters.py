"""What a made-up pair of scenes is made from: seed, classes, pixel size, true and apparent change."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError

DEFAULT_GSD = {SECOND.name: 0.5, LANDSAT.name: 30.0, BINARY.name: 0.5}
"""Pixel size in metres at which each scheme is usually seen."""

SMALLEST_GSD, LARGEST_GSD = 0.1, 100.0

MOST_POINTS = 6
"""Sampling points a side in a pixel, by default: enough for houses in pixels of 10 m."""


@dataclass(frozen=True)
class Nuisances:
    """Strengths, from 0 (none) over 1 (usual), of what differs between the dates and is no change."""

    light: float = 1.0
    """Sun azimuth and elevation, hence shadows."""
    season: float = 1.0
    """Colour of vegetation and of crops."""
    haze: float = 1.0
    sensor: float = 1.0
    """Gain per band and gamma."""
    noise: float = 1.0
    """Noise of either date, and blur of the second."""
    shift: float = 1.0
    """Misregistration; 1 is up to a pixel."""
    traffic: float = 1.0
    """Cars; below 1 fewer."""

    def __post_init__(self) -> None:
        for each in fields(self):
            strength = getattr(self, each.name)
            if not 0 <= strength <= 4:
                raise InputError(f"a strength of {strength} for {each.name} makes no sense; use 0 to 4, usually 1")

    @staticmethod
    def all_of(strength: float) -> Nuisances:
        """The same strength for each."""
        return Nuisances(*(strength for _ in fields(Nuisances)))


NO_NUISANCES = Nuisances.all_of(0)


@dataclass(frozen=True)
class SceneParameters:
    """One endless world at two dates; every pixel of it follows from these values and its own row and column.

    `gsd` is the pixel size in metres. `change` scales how much truly changes: 1 is roughly a tenth of the land.
    `samples` is how many points a side are averaged into a pixel; by default as many as its size asks for.
    """

    seed: int = 1
    scheme: ClassScheme = SECOND
    gsd: float = 0.5
    change: float = 1.0
    nuisances: Nuisances = field(default_factory=Nuisances)
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.scheme.name not in DEFAULT_GSD:
            raise InputError(f"no scenes can be made up of {self.scheme.name!r}; use one of {', '.join(DEFAULT_GSD)}")
        if not (math.isfinite(self.gsd) and SMALLEST_GSD <= self.gsd <= LARGEST_GSD):
            raise InputError(f"a pixel size of {self.gsd} m cannot be drawn; use {SMALLEST_GSD} to {LARGEST_GSD}")
        if not 0 <= self.change <= 10:
            raise InputError(f"{self.change} times the usual change makes no sense; use 0 to 10")
        if self.samples is not None and not 1 <= self.samples <= 16:
            raise InputError(f"{self.samples} samples a side per pixel make no sense; use 1 to 16")

    @property
    def points(self) -> int:
        """Sampling points a side in a pixel."""
        finest = 15.0 if self.is_coarse else 1.5
        return self.samples or min(MOST_POINTS, max(1, round(self.gsd / finest)))

    @property
    def fine_gsd(self) -> float:
        """Metres between sampling points."""
        return self.gsd / self.points

    @property
    def is_coarse(self) -> bool:
        """Whether the world is one of regions (Landsat) and not of houses and trees."""
        return self.scheme.name == LANDSAT.name
