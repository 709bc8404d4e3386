"""What the best model of a run is chosen by."""

from __future__ import annotations

from geofcs.training.quality import BINARY_CHANGE, Quality

SCORES = {"sek": "SeK", "f_scd": "F_SCD", "f1": "F1"}
"""What they are called in sentences."""


def score_of(quality: Quality, by: str) -> float | None:
    """What the best model is chosen by: SeK or F_SCD, or the F1 of change where there is no land cover."""
    score: float | None = getattr(quality, _score_name(quality, by))
    return score


def told(quality: Quality, by: str) -> str:
    """The score with its name and protocol."""
    score, name = score_of(quality, by), SCORES[_score_name(quality, by)]
    return f"validation {name} ({quality.protocol}) {'n/a' if score is None else f'{score:.4f}'}"


def _score_name(quality: Quality, by: str) -> str:
    return "f1" if quality.protocol == BINARY_CHANGE else by
