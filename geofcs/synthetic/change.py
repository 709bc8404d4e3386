"""What truly changes between the two dates: the future of a piece of land, and the fate of a single thing on it."""

from __future__ import annotations

from enum import IntFlag
from random import Random

LOT_RATE = 0.12
"""Share of lots that turn into something else, at a change strength of 1."""

THING_RATE = 0.045
"""Share of houses, fields and the like that come, go or are replaced on lots that stay what they are."""


class Dates(IntFlag):
    """The dates at which something is there."""

    FIRST = 1
    SECOND = 2
    BOTH = 3


FUTURES: dict[str, tuple[str, ...]] = {
    "farmland": ("construction", "industry", "apartments", "houses", "fishponds", "woodland", "school", "wasteland"),
    "woodland": ("wasteland", "farmland", "construction", "houses", "industry"),
    "meadow": ("construction", "woodland", "fishponds", "houses", "farmland"),
    "wasteland": ("apartments", "industry", "park", "school", "woodland", "farmland"),
    "construction": ("apartments", "industry", "park", "school"),
    "houses": ("construction", "apartments", "park", "wasteland"),
    "apartments": ("construction", "park"),
    "industry": ("wasteland", "apartments", "construction"),
    "park": ("apartments", "school", "construction"),
    "school": ("wasteland", "apartments"),
    "fishponds": ("wasteland", "industry", "farmland"),
    "fields": ("desert", "town", "reservoir"),
    "desert": ("fields", "town", "reservoir"),
    "town": ("desert",),
    "reservoir": ("desert", "fields"),
}
"""What a use may turn into; the names are those of the painters."""


def future_of(use: str, dice: Random, strength: float) -> str:
    """What the land is used for at the second date; mostly the same."""
    if dice.random() >= LOT_RATE * strength:
        return use
    return dice.choice(FUTURES[use])


def fate(dice: Random, strength: float) -> tuple[Dates, ...]:
    """When a thing is there; two entries mean that another one takes its place."""
    roll = dice.random() / max(THING_RATE * strength, 1e-9)
    if roll >= 1:
        return (Dates.BOTH,)
    if roll < 0.4:
        return (Dates.SECOND,)
    return (Dates.FIRST,) if roll < 0.7 else (Dates.FIRST, Dates.SECOND)
