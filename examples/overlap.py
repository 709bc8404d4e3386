"""What overlap does to seams and to time: the table and the picture of docs/overlap.md.

    python examples/overlap.py T1 T2 WEIGHTS OUT/

Runs `geofcs detect` with several overlaps and prints, for each, how much more the change score jumps from pixel to
pixel where a tile begins than elsewhere (1 means: a seam cannot be told from any other place), the share of labels that
agree with the largest overlap, and the seconds spent on tiles.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import rasterio

from geofcs.tiles import Axis

DIVISORS = (None, 16, 8, 4, 2)
"""Overlaps as the tile divided by these; None is no overlap."""

CROP = 384
"""Pixels a side in the picture."""

Score = npt.NDArray[np.float64]


def main(t1: Path, t2: Path, weights: Path, out: Path) -> None:
    """Run, measure, print the table, draw the picture."""
    runs = {divisor: detected(t1, t2, weights, out, divisor) for divisor in DIVISORS}
    finest = labels(out / name_of(DIVISORS[-1]))
    print("| overlap | seam / elsewhere | labels as with a half | seconds |\n|---|---|---|---|")
    for divisor, run in runs.items():
        folder = out / name_of(divisor)
        agreement = np.mean(labels(folder) == finest)
        jump = seam_ratio(score(folder), **run["plan"]["tiles"])
        print(f"| {label_of(divisor)} | {jump:.2f} | {agreement:.2%} | {run['seconds']['tiles']:.0f} |")
    draw(out, runs)


def name_of(divisor: int | None) -> str:
    """The overlap in words that may stand in a path."""
    return "none" if divisor is None else f"1-{divisor}"


def label_of(divisor: int | None) -> str:
    """The overlap in words, as a share of the tile."""
    return name_of(divisor).replace("-", "/")


def detected(t1: Path, t2: Path, weights: Path, out: Path, divisor: int | None) -> dict[str, Any]:
    """Run `geofcs detect` with one overlap; returns run.json."""
    tile = weights_tile(weights)
    overlap = 0 if divisor is None else tile // divisor
    folder = out / name_of(divisor)
    command = [sys.executable, "-m", "geofcs", "detect", str(t1), str(t2), "--weights", str(weights), "--overwrite"]
    subprocess.run([*command, "-o", str(folder), "--overlap", str(overlap), "--quiet"], check=True)
    run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return run


def weights_tile(weights: Path) -> int:
    """The tile size that the weights were made for."""
    from geofcs.model.weights import read_weights_info

    return read_weights_info(weights).tile


def score(folder: Path) -> Score:
    """The blended change score in percent."""
    with rasterio.open(folder / "probability.tif") as file:
        percent: Score = file.read(1).astype(np.float64)
        return percent


def labels(folder: Path) -> npt.NDArray[Any]:
    """The from-to codes."""
    with rasterio.open(folder / "change.tif") as file:
        codes: npt.NDArray[Any] = file.read(1)
        return codes


def seam_ratio(percent: Score, tile: int, overlap: int) -> float:
    """Mean jump of the score across columns where a tile begins or ends, over the mean jump elsewhere."""
    axis = Axis(percent.shape[1], tile, overlap)
    seams = {edge for start in axis.starts for edge in (start, start + tile) if 0 < edge < percent.shape[1]}
    jumps = np.abs(np.diff(percent, axis=1)).mean(axis=0)
    at_seam = np.isin(np.arange(1, percent.shape[1]), list(seams))
    return float(jumps[at_seam].mean() / jumps[~at_seam].mean())


def draw(out: Path, runs: dict[int | None, dict[str, Any]]) -> None:
    """The change score around a place where four tiles meet, for each overlap."""
    figure, axes = plt.subplots(1, len(runs), figsize=(4 * len(runs), 4.4), layout="constrained")
    for ax, (divisor, run) in zip(axes, runs.items(), strict=True):
        percent = score(out / name_of(divisor))
        corner = Axis(percent.shape[1], **run["plan"]["tiles"]).starts[1] - CROP // 2
        crop = percent[corner : corner + CROP, corner : corner + CROP]
        ax.imshow(crop, cmap="magma", vmin=np.percentile(crop, 1), vmax=np.percentile(crop, 99))
        ax.set_title(f"overlap {label_of(divisor)}")
        ax.set_axis_off()
    figure.savefig(out / "overlap.jpg", dpi=80)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
