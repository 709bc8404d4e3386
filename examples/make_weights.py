"""How the weights inside the package are made: train as a config says, then store the best weights as float16.

python examples/make_weights.py RUN [--config configs/synthetic_cpu.yaml]

Trains into the folder RUN, or goes on with the run that lies there, and writes geofcs/weights/pico.safetensors. Then
`python examples/judge_weights.py` measures them for docs/weights.md.
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


def main() -> None:
    """Train and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    if (options.run / "config.yaml").exists():
        train("--resume", options.run)
    else:
        train("--config", options.config, "-o", options.run)
    info = pack(options.run / "best.safetensors", options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def train(*arguments: object) -> None:
    """`geofcs train`, as a user would call it."""
    subprocess.run([sys.executable, "-m", "geofcs", "train", *map(str, arguments)], check=True)


def pack(trained: Path, out: Path) -> WeightsInfo:
    """The same weights rounded to float16: half the file."""
    loaded = load_weights(trained)
    info = loaded.info
    out.parent.mkdir(exist_ok=True)
    return save_weights(out, loaded.model, info.config, info.classes, info.tile, info.trained, torch.float16)


if __name__ == "__main__":
    main()
