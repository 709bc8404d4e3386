"""Times the four-direction scan against plain copies of its input: `python kernels/bench.py`."""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geofcs_kernels
import torch
from torch import Tensor

# (b, D, H, W), rank, and how often Base runs the shape for a pair of 512 x 512 images.
STAGES = [
    ((8, 256, 128, 128), 8, 7),
    ((8, 512, 64, 64), 16, 7),
    ((8, 1024, 32, 32), 32, 33),
    ((8, 2048, 16, 16), 64, 7),
]
H100_COPIES = (56e-6, 33e-6, 17e-6, 6e-6)
"""Seconds of plain 16-bit copies of these shapes at batch 8 on an H100 (2.94 TB/s), what the marks to beat refer to."""
ROTATED_BYTES = 2**28
"""Inputs rotate among so many bytes, several times any L2 cache, so that none of them is found there."""
LARGE_COPY = 2**31
PADDING = 8
"""R + 2 values per direction are laid out as R + 8, so that all begin at multiples of 16 bytes."""


def main() -> None:
    """Parse, time, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--repeats", type=int, default=20, help="timed runs per figure; the median counts")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--other", help="module.path:function with forward's signature, differentiable, timed as well")
    parser.add_argument("--forward-only", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = run(options)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All figures, in seconds and bytes per second."""
    dtype = getattr(torch, options.dtype)
    implementations = {"geofcs": Scan.apply} | ({options.other: _load(options.other)} if options.other else {})
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "dtype": options.dtype,
        "copy_bytes_per_second": copy_bandwidth(options.repeats),
        "stages": [],
    }
    for (shape, rank, weight), h100_copy in zip(STAGES, H100_COPIES, strict=True):
        shape = (options.batch, *shape[1:])
        sets = [_inputs(shape, rank, dtype) for _ in range(_sets(shape, dtype))]
        stage: dict[str, Any] = {"shape": shape, "rank": rank, "weight": weight}
        bytes_moved = 2 * dtype.itemsize * torch.Size(shape).numel()
        stage["copy"] = bytes_moved / results["copy_bytes_per_second"]
        stage["h100_copy"] = h100_copy * options.batch / 8 * dtype.itemsize / 2
        for name, scan in implementations.items():
            stage[name] = {"forward": _median([_forward(scan, s) for s in sets], options.repeats)}
            if not options.forward_only:
                stage[name]["both"] = _median([_both(scan, s) for s in sets], options.repeats)
        if "geofcs" in stage:
            stage["geofcs"]["scan_alone"] = _median([_alone(s) for s in sets], options.repeats)
        results["stages"].append(stage)
    return results


class Scan(torch.autograd.Function):
    """The kernels as a differentiable function."""

    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        ctx.save_for_backward(*arguments)
        return geofcs_kernels.forward(*arguments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        return geofcs_kernels.backward(grad, *ctx.saved_tensors)


def _inputs(shape: tuple[int, ...], rank: int, dtype: torch.dtype) -> list[Tensor]:
    """x as it leaves the SiLU, channels last; the projections' weight; the scan's parameters; a gradient."""
    batch, channels, height, width = shape

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, device="cuda")

    x = draw(batch, height, width, channels).to(dtype)
    grad = draw(batch, height, width, channels).to(dtype).permute(0, 3, 1, 2)
    factors_weight = (draw(4, rank + PADDING, channels) / channels**0.5).to(dtype)
    parameters = [
        draw(4, channels, rank) / rank**0.5,
        draw(4, channels) - 3,
        0.5 * draw(4, channels),
        draw(4, channels),
    ]
    leaves = [t.requires_grad_() for t in (x, factors_weight, *parameters)]
    return [*leaves, grad]


def _scan(scan: Callable[..., Tensor], x: Tensor, factors_weight: Tensor, *parameters: Tensor) -> Tensor:
    """What "Scan" in the table means: projections, then the four directions."""
    return scan(x.permute(0, 3, 1, 2), _factors(x, factors_weight), *parameters)


def _factors(x: Tensor, weight: Tensor) -> Tensor:
    factors = torch.unflatten(torch.nn.functional.linear(x, weight.flatten(0, 1)), -1, (4, -1))
    return factors[..., : weight.shape[1] - PADDING + 2].permute(0, 3, 4, 1, 2)


def _forward(scan: Callable[..., Tensor], inputs: list[Tensor]) -> Callable[[], object]:
    def call() -> Tensor:
        with torch.no_grad():
            return _scan(scan, *inputs[:-1])

    return call


def _both(scan: Callable[..., Tensor], inputs: list[Tensor]) -> Callable[[], object]:
    def call() -> object:
        return torch.autograd.grad(_scan(scan, *inputs[:-1]), inputs[:-1], inputs[-1])

    return call


def _alone(inputs: list[Tensor]) -> Callable[[], object]:
    x, factors_weight, *parameters = (t.detach() for t in inputs[:-1])
    factors = _factors(x, factors_weight)
    return lambda: geofcs_kernels.forward(x.permute(0, 3, 1, 2), factors, *parameters)


def copy_bandwidth(repeats: int) -> float:
    """Bytes read and written per second by a plain copy far larger than the caches."""
    source = torch.randn(LARGE_COPY // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * LARGE_COPY / _time([lambda: target.copy_(source)], repeats)


def _median(calls: list[Callable[[], object]], repeats: int) -> float:
    """Seconds of a call: each is captured as a graph, so that Python's launch gaps do not count, and replayed."""
    return _time([_graph(call).replay for call in calls], repeats)


def _time(calls: list[Callable[[], object]], repeats: int) -> float:
    for call in calls:
        call()
    times: list[float] = []
    for i in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        calls[i % len(calls)]()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def _graph(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def _sets(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return max(2, ROTATED_BYTES // (torch.Size(shape).numel() * dtype.itemsize))


def _load(path: str) -> Callable[..., Tensor]:
    module, name = path.split(":")
    function: Callable[..., Tensor] = getattr(importlib.import_module(module), name)
    return function


def table(results: dict[str, Any]) -> str:
    """Microseconds, and multiples of a copy by this card and by the H100 of the marks, per stage and weighted."""
    stages = results["stages"]
    names = [name for name in stages[0] if isinstance(stages[0][name], dict)]
    lines = [
        f"{results['device']}, torch {results['torch']}, {results['dtype']}, "
        f"copy {results['copy_bytes_per_second'] / 1e12:.2f} TB/s",
    ]
    for name in names:
        for what in stages[0][name]:
            lines.append(f"{name} {what}")
            figures = [(s[name][what], s["copy"], s["h100_copy"]) for s in stages]
            lines += [_row(str(tuple(s["shape"])), *f) for s, f in zip(stages, figures, strict=True)]
            shares = [[s["weight"] * value for value in f] for s, f in zip(stages, figures, strict=True)]
            lines.append(_row("weighted", *map(sum, zip(*shares, strict=True))))
    return "\n".join(lines)


def _row(label: str, time: float, copy: float, h100_copy: float) -> str:
    here = f"{time / copy:6.1f}x of a copy here ({copy * 1e6:.1f} us)"
    return (
        f"  {label:22} {time * 1e6:8.1f} us {here:36} {time / h100_copy:6.1f}x of an H100's ({h100_copy * 1e6:.1f} us)"
    )


if __name__ == "__main__":
    main()
