"""How far a run has come: what is saved with the weights, beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from geofcs.training.step import TERMS, Step


@dataclass
class Progress:
    """`iteration` is how many are done. `best` is the highest score so far, reached at `best_iteration`; None if n/a.

    Since the last row of losses.csv: sums of the loss terms over `summed` iterations, and how many were `skipped`.
    `broken` iterations in a row, up to now, were not finite.
    """

    iteration: int = 0
    best: float | None = None
    best_iteration: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(TERMS))
    summed: int = 0
    skipped: int = 0
    broken: int = 0

    def add(self, step: Step) -> None:
        """Count an iteration."""
        self.iteration += 1
        if step.finite:
            self.sums = [total + term for total, term in zip(self.sums, step.terms, strict=True)]
            self.summed, self.broken = self.summed + 1, 0
        else:
            self.skipped, self.broken = self.skipped + 1, self.broken + 1

    def taken(self) -> tuple[list[float], int]:
        """The mean loss terms since the last time (NaN if no iteration was finite), and how many were skipped."""
        means = [total / self.summed if self.summed else float("nan") for total in self.sums]
        skipped = self.skipped
        self.sums, self.summed, self.skipped = [0.0] * len(TERMS), 0, 0
        return means, skipped

    def improves(self, score: float | None) -> bool:
        """Whether a score is the best so far; remembers it if so. One that is n/a (None) is below all others."""
        if self.best_iteration and (score is None or (self.best is not None and score <= self.best)):
            return False
        self.best, self.best_iteration = score, self.iteration
        return True
