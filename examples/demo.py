"""The README's first minute: make a small bi-temporal scene, run `geofcs detect` on it, say how much of it is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio

DEMO = Path("demo")


def main() -> None:
    scenes, result = DEMO / "scenes", DEMO / "result"
    print("1. Two dates of a made-up place:", flush=True)
    geofcs("synth", scenes, "--size", "1024", "--seed", "7", "--classes", "second", "--overwrite")
    print("2. Where did it change, and from what to what?", flush=True)
    geofcs("detect", scenes / "t1.tif", scenes / "t2.tif", "-o", result, "--overwrite")
    precision, recall = shares(result / "change.tif", scenes / "change.tif")
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(
        f"\nDone. Look at {result}/change.tif and {result}/changes.gpkg, for instance in QGIS."
        f"\n{recall:.0%} of what truly changed was found, {precision:.0%} of what was found is true: F1 {f1:.2f}."
        f"\nThe true changes are in {scenes}/change.tif."
    )


def geofcs(*arguments: object) -> None:
    """Run a geofcs command, as a user would."""
    subprocess.run([sys.executable, "-m", "geofcs", *map(str, arguments)], check=True)


def shares(found: Path, truth: Path) -> tuple[float, float]:
    """Precision and recall of change, over pixels."""
    with rasterio.open(found) as ours, rasterio.open(truth) as theirs:
        said, true = ours.read(1) > 0, theirs.read(1) > 0
    common, all_said, all_true = (int(np.count_nonzero(mask)) for mask in (said & true, said, true))
    return common / max(all_said, 1), common / max(all_true, 1)


if __name__ == "__main__":
    main()
