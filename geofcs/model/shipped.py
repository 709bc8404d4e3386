"""The weights inside the package, which commands take where none are named."""

from __future__ import annotations

from pathlib import Path

from geofcs.errors import UsageError
from geofcs.model.weights import WeightsInfo

SHIPPED = Path(__file__).parents[1] / "weights" / "pico.safetensors"
"""Where they lie."""

CARD = "docs/weights.md"
"""What they are good for and not: their model card, in the project's documentation."""


def named_or_shipped(named: Path | None) -> Path:
    """The weights file that was named, else the one inside the package; raises `UsageError` where there is neither."""
    if named is not None:
        return named
    if not SHIPPED.is_file():
        raise UsageError(
            "no weights lie inside this package: name a file, as in --weights FILE; geofcs weights import makes one"
        )
    return SHIPPED


def said_of_shipped(path: Path, info: WeightsInfo) -> list[str]:
    """A sentence on weights that nobody named: which, trained on what, where the card is. Nothing for other files."""
    if path != SHIPPED:
        return []
    return [f"weights: pico, inside the package, trained {info.trained}; what they are good for and not: {CARD}"]
