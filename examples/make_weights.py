"""How the weights inside the package are made: three runs, each from the one before; the last, stored as float16.

python examples/make_weights.py RUNS

Trains into RUNS/first, RUNS/second and RUNS/third, or goes on with what lies there, and writes
geofcs/weights/pico.safetensors. Then `python examples/judge_weights.py` measures it for docs/weights.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from geofcs.model.shipped import SHIPPED
from geofcs.model.weights import WeightsInfo, load_weights, save_weights

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic_cpu.yaml"

RUNS = {
    "first": (),
    "second": (
        "train.seed=2", "worlds.pairs=960", "train.iterations=2000", "train.lr=0.001", "train.warmup=50",
        "train.ema=0.995", "loss.sek_from=0", "augment.sensors=0.4",
    ),
    "third": (
        "train.seed=3", "worlds.pairs=640", "worlds.gsd=[0.3, 15]", "worlds.fine_to=13", "worlds.coarse=0.15",
        "train.iterations=900", "train.lr=0.0008", "train.warmup=25", "loss.sek_from=0", "loss.sek=0.5",
        "loss.lovasz_cover=0.5", "augment.sensors=0.5",
    ),
}  # fmt: skip
"""What each run does otherwise than the config: new worlds seen by cameras that differ less, then towns up to 13 m.

The second was stopped early, and its best weights, after 750 iterations, were taken: docs/weights.md.
"""

TRAINED = "on made-up scenes alone, of 0.3 to 30 m a pixel, for an hour on one CPU core"


def main() -> None:
    """Train and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    start: tuple[object, ...] = ()
    for name, settings in RUNS.items():
        run = options.runs / name
        train(run, "--config", options.config, *start, *(word for each in settings for word in ("--set", each)))
        start = "--from", run / "best.safetensors"
    info = pack(options.runs / "third" / "best.safetensors", options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def train(run: Path, *arguments: object) -> None:
    """`geofcs train` into a folder, from where it was stopped if it was begun."""
    how = ("--resume", run) if (run / "state").exists() else (*arguments, "-o", run)
    subprocess.run([sys.executable, "-m", "geofcs", "train", *map(str, how)], check=True)


def pack(trained: Path, out: Path) -> WeightsInfo:
    """The same weights rounded to float16: half the file."""
    loaded = load_weights(trained)
    info = loaded.info
    out.parent.mkdir(exist_ok=True)
    return save_weights(out, loaded.model, info.config, info.classes, info.tile, TRAINED, torch.float16)


if __name__ == "__main__":
    main()
