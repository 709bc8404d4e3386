"""The figures of the Mamba-FCS paper, to stand beside one's own."""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "Wijenayake et al., IEEE JSTARS 19 (2026), doi 10.1109/JSTARS.2026.3663066"


class Published(NamedTuple):
    """One model's row of the paper's table: shares 0 to 1."""

    model: str
    oa: float
    f_scd: float
    miou: float
    sek: float


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "second": (
        Published("SCanNet", 0.8786, 0.6366, 0.7342, 0.2394),
        Published("ChangeMamba", 0.8812, 0.6403, 0.7368, 0.2411),
        Published("Mamba-FCS", 0.8862, 0.6578, 0.7407, 0.2550),
    ),
    "landsat": (
        Published("SCanNet", 0.9604, 0.8562, 0.8637, 0.5263),
        Published("ChangeMamba", 0.9608, 0.8661, 0.8691, 0.5366),
        Published("Mamba-FCS", 0.9625, 0.8927, 0.8881, 0.6026),
    ),
}
"""By the name that --dataset takes."""

CAVEAT = (
    f"published: the figures of {SOURCE}, on the dataset's own test list, on which its models are chosen as well; "
    "ChangeMamba's own code counts from-to, and the paper does not say which protocol that row follows"
)
