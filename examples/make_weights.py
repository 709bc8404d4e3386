"""How the weights inside the package are made: two runs, the second from the first, and the mean of their weights.

python examples/make_weights.py RUNS

Trains into RUNS/first on a GPU and RUNS/second on a CPU, or goes on with what lies there, and writes
geofcs/weights/pico.safetensors. Then `python examples/judge_weights.py` measures it for docs/weights.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from geofcs.model.shipped import SHIPPED
from geofcs.model.weights import WeightsInfo, load_weights, save_weights

CONFIG = Path(__file__).parents[1] / "configs" / "synthetic.yaml"

RUNS = {
    "first": ("train.iterations=900",),
    "second": (
        "train.seed=2", "train.device=cpu", "train.precision=fp32", "data.crop=128", "data.workers=1", "train.batch=8",
        "train.iterations=1100", "train.lr=0.0004", "train.warmup=50", "train.ema=0.998", "loss.sek_from=0",
        "worlds.pairs=1200", "worlds.side=192", "worlds.validation_pairs=48", "validation.batch=8",
        "validation.every=400",
    ),
}  # fmt: skip
"""What each run does otherwise than the config: fewer iterations, then new worlds in smaller crops."""

TRAINED = "on made-up scenes alone, of 0.3 to 30 m a pixel, for eight minutes on a GPU and half an hour on a CPU"


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
    info = pack(options.runs / "first" / "best.safetensors", options.runs / "second" / "last.safetensors", options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, sha256 {info.sha256}")


def train(run: Path, *arguments: object) -> None:
    """`geofcs train` into a folder, from where it was stopped if it was begun."""
    how = ("--resume", run) if (run / "state").exists() else (*arguments, "-o", run)
    subprocess.run([sys.executable, "-m", "geofcs", "train", *map(str, how)], check=True)


def pack(first: Path, second: Path, out: Path) -> WeightsInfo:
    """The mean of two runs' weights, rounded to float16."""
    one, other = load_weights(first), load_weights(second)
    before, info = one.model.state_dict(), other.info
    other.model.load_state_dict({name: mean(before[name], after) for name, after in other.model.state_dict().items()})
    out.parent.mkdir(exist_ok=True)
    return save_weights(out, other.model, info.config, info.classes, info.tile, TRAINED, torch.float16)


def mean(one: Tensor, other: Tensor) -> Tensor:
    """The mean of numbers; counts are the other's."""
    return torch.lerp(one, other, 0.5) if other.is_floating_point() else other


if __name__ == "__main__":
    main()
