"""What `pico` costs on this machine: the tables of docs/performance.md.

    python examples/performance.py OUT/ [SIZE]

Makes a pair of SIZE pixels a side (default 2048), runs `geofcs detect` on it with untrained `pico` weights in several
ways, and takes one tile apart with torch's profiler. Times are those of this run; compare them with each other.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import profile

from geofcs.classes import SECOND
from geofcs.model.build import build
from geofcs.model.interface import scores_of
from geofcs.model.sizes import pico
from geofcs.model.weights import load_weights, save_weights

TILE = 512

CREWS = (
    ("threads", 2, 1),
    ("processes", 2, 1),
    ("threads", 2, 1),
    ("processes", 2, 1),
    ("threads", 1, 1),
    ("threads", 1, 2),
)
"""Kind of workers, how many, and threads of each; what is to be compared twice, in turn."""


def main(out: Path, size: int) -> None:
    """Prepare, run, print."""
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "pico.safetensors"
    config = pico(classes=SECOND.count)
    save_weights(weights, build(config, seed=0), config, SECOND, tile=TILE, trained="not trained")
    seconds = timed("synth", out / "scenes", "--size", size, "--seed", 1, "--quiet", "--overwrite")
    print(f"{os.cpu_count()} cores; made-up pair of {size} x {size}: {seconds:.1f} s\n")
    print("| workers x threads | whole run, s | core s | plan | tiles | rasters | polygons | tiles computed | Mpx/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, workers, threads in CREWS:
        before, (seconds, run) = core_seconds(), detected(out, weights, kind, workers, threads)
        stages = " | ".join(f"{run['seconds'][stage]:.1f}" for stage in ("plan", "tiles", "rasters", "polygons"))
        print(
            f"| {workers} x {threads}, {kind} | {seconds:.1f} | {core_seconds() - before:.1f} | {stages} | "
            f"{run['counts']['tiles_scored']} | {size**2 / 1e6 / seconds:.2f} |"
        )
    take_apart(weights)


def core_seconds() -> float:
    """Of all commands so far, their own processes included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(*arguments: object) -> float:
    """Seconds that a geofcs command takes, its start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "geofcs", *map(str, arguments)], check=True)
    return time.perf_counter() - start


def detected(out: Path, weights: Path, kind: str, workers: int, threads: int) -> tuple[float, dict[str, Any]]:
    """Run `geofcs detect`; returns its seconds and run.json."""
    scenes = (out / "scenes" / "t1.tif", out / "scenes" / "t2.tif")
    crew = ("--worker-kind", kind, "--workers", workers, "--threads", threads)
    how = (*crew, "--quiet", "--overwrite", "-o", out / "result")
    seconds = timed("detect", *scenes, "--weights", weights, *how)
    run: dict[str, Any] = json.loads((out / "result" / "run.json").read_text())
    return seconds, run


def take_apart(weights: Path) -> None:
    """Where the time of one tile pair goes, in one thread."""
    torch.set_num_threads(1)
    model = load_weights(weights).model.eval()
    images = torch.rand(2, 1, 3, TILE, TILE) * 255
    with torch.inference_mode():
        model(*images)
        start = time.perf_counter()
        scores_of(model(*images))
        seconds = time.perf_counter() - start
        with profile() as recorded:
            scores_of(model(*images))
    print(f"\nOne tile of {TILE} pixels, one thread: {seconds:.2f} s\n")
    events = [event for event in recorded.key_averages() if event.self_cpu_time_total > 0]
    whole = sum(event.self_cpu_time_total for event in events)
    scan = sum(event.cpu_time_total for event in events if event.key == "geofcs::four_direction_scan")
    print("| operator | share of the time |\n|---|---|")
    print(f"| (all of the scan) | {scan / whole:.0%} |")
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:8]:
        print(f"| {event.key} | {event.self_cpu_time_total / whole:.0%} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2048)
