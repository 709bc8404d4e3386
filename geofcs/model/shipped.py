"""The weights inside the package, which commands take where none are named."""

from __future__ import annotations

from pathlib import Path

from geofcs.errors import UsageError
from geofcs.model.weights import WeightsInfo

SHIPPED = Path(__file__).parents[1] / "weights" / "pico.safetensors"
"""Where they lie."""

CARD = "docs/weights.md"
"""What they are good for and not: their model card, in the project's documentation."""


def named_or_shipped(named: str | None) -> Path:
    """The weights file that was named, else the one inside the package; raises `UsageError` where there is neither.

    One at https://, s3://, gs:// or az:// is fetched and kept in the user's cache folder: `InputError` or
    `SourceError` if it is not to be had. What it holds is checked by its own hash whenever it is loaded.
    """
    if named is not None:
        from geofcs.remote import cache_folder, fetched, parse_address  # brings rasterio, which the model does without

        address = parse_address(named)
        return Path(named) if address.is_local else fetched(address, cache_folder() / "weights")
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
