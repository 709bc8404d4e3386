"""How the weights inside the package are made: one run of `geofcs train`, and its best weights in float16.

python examples/make_weights.py RUN

Trains into the folder RUN by configs/synthetic.yaml, on a GPU, or goes on with what lies there, and writes
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

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic.yaml"

TRAINED = "on made-up scenes alone, of 0.3 to 30 m a pixel, for eighteen minutes on one GPU"


def main() -> None:
    """Train and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    train(options.run, options.config)
    info = pack(options.run / "best.safetensors", options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def train(run: Path, config: Path) -> None:
    """`geofcs train` into a folder, from where it was stopped if it was begun."""
    how = ("--resume", run) if (run / "state").exists() else ("--config", config, "-o", run)
    subprocess.run([sys.executable, "-m", "geofcs", "train", *map(str, how)], check=True)


def pack(best: Path, out: Path) -> WeightsInfo:
    """The weights of a run, rounded to float16, with the sentence on what they learnt from."""
    loaded = load_weights(best)
    info = loaded.info
    out.parent.mkdir(exist_ok=True)
    return save_weights(out, loaded.model, info.config, info.classes, info.tile, TRAINED, torch.float16)


if __name__ == "__main__":
    main()
