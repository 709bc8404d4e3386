"""The README's first minute: make a small bi-temporal scene, run `geofcs detect` on it, say where the results lie.

The weights are seeded and untrained, so the map shows that everything runs, not what changed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path("demo")


def main() -> None:
    scenes, weights, result = DEMO / "scenes", DEMO / "untrained.safetensors", DEMO / "result"
    print("1. Two dates of a made-up place:", flush=True)
    geofcs("synth", scenes, "--size", "1024", "--seed", "7", "--classes", "second", "--overwrite")
    print("2. A small model with seeded, UNTRAINED weights:", flush=True)
    write_untrained_weights(weights)
    print("3. Where did it change, and from what to what?", flush=True)
    geofcs("detect", scenes / "t1.tif", scenes / "t2.tif", "--weights", weights, "-o", result, "--overwrite")
    print(
        f"\nDone. Look at {result}/change.tif and {result}/changes.gpkg, for instance in QGIS."
        f"\nThe weights are untrained, so the changes shown are noise; the true ones are in {scenes}/change.tif."
    )


def geofcs(*arguments: object) -> None:
    """Run a geofcs command, as a user would."""
    subprocess.run([sys.executable, "-m", "geofcs", *map(str, arguments)], check=True)


def write_untrained_weights(path: Path) -> None:
    """`pico` for SECOND's classes with random weights: the same file for the same seed."""
    from geofcs.classes import SECOND
    from geofcs.model.build import build
    from geofcs.model.config import pico
    from geofcs.model.weights import save_weights

    config = pico(classes=SECOND.count)
    save_weights(path, build(config, seed=0), config, SECOND, tile=512, trained="not trained: random weights of seed 0")


if __name__ == "__main__":
    main()
