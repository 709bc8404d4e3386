"""What went other than planned: tiles that failed, needed float32 or smaller batches; remembered by the strips."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Place = tuple[int, int]
"""Row and column, in pixels of the grid, where a tile begins."""


@dataclass(frozen=True)
class Oddities:
    """Tiles that failed and are nodata, tiles scored in float32 instead of the plan's precision, and the fewest tiles
    per call of the model, if memory was too short for the plan's batch.

    The last two change scores in their last bits: a strip that has any is not promised to be the same bytes again.
    """

    failed: frozenset[Place] = frozenset()
    in_float32: frozenset[Place] = frozenset()
    part: int | None = None

    def __bool__(self) -> bool:
        return self != Oddities()

    @staticmethod
    def together(several: Iterable[Oddities]) -> Oddities:
        """All of several strips'; tiles that reach into more than one are counted once."""
        each = list(several)
        return Oddities(
            frozenset().union(*(one.failed for one in each)),
            frozenset().union(*(one.in_float32 for one in each)),
            min((one.part for one in each if one.part is not None), default=None),
        )

    @staticmethod
    def in_remark(remark: str) -> Oddities:
        """Those that a strip's remark tells of."""
        if not remark:
            return Oddities()
        said = json.loads(remark)
        return Oddities(_places(said["tiles_failed"]), _places(said["tiles_in_float32"]), said["batch_at_least"])

    @property
    def remark(self) -> str:
        """What a strip is to remember; nothing where nothing is odd."""
        return json.dumps(self.as_json()) if self else ""

    def sentences(self, batch: int) -> list[str]:
        """What the user should know; `batch` is the plan's."""
        said = []
        if self.failed:
            said.append(f"{len(self.failed)} tile(s) could not be computed and are nodata; run.json lists them")
        if self.in_float32:
            said.append(
                f"{len(self.in_float32)} tile(s) gave numbers that are not finite and were computed again in float32"
            )
        if self.part is not None:
            said.append(
                f"memory was short: tiles were computed by {self.part} at a time, not by {batch}; scores may differ in "
                f"their last bits from a run with enough of it, --batch {self.part} fits this machine"
            )
        return said

    def as_json(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "tiles_failed": sorted(map(list, self.failed)),
            "tiles_in_float32": sorted(map(list, self.in_float32)),
            "batch_at_least": self.part,
        }


def _places(pairs: list[list[int]]) -> frozenset[Place]:
    return frozenset((row, col) for row, col in pairs)
