"""The files of a labelled pair, and the splits that pairs belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPLIT_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folder of a split is called, and its list begins with."""

WHOLE = ""
"""The split of pairs that no folder and no list assigns."""


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair; a part that the layout lacks is None."""

    name: str
    t1: Path
    t2: Path
    cover_t1: Path | None = None
    cover_t2: Path | None = None
    change: Path | None = None
    from_to: Path | None = None

    @property
    def labels(self) -> tuple[Path, ...]:
        """The label files that there are."""
        return tuple(each for each in (self.cover_t1, self.cover_t2, self.change, self.from_to) if each is not None)
