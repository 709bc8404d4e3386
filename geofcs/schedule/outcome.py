"""What is known of a run's blocks when all have been dealt with."""

from __future__ import annotations

from dataclasses import dataclass

from geofcs.blocks import BlockCounts
from geofcs.tiles import Block


@dataclass(frozen=True)
class Outcome:
    """What blocks did, and which ones killed their worker three times."""

    counts: list[BlockCounts]
    lost: list[Block]
