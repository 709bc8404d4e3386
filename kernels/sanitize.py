"""Runs every kernel of the scans at odd sizes, for `compute-sanitizer` to watch: `python kernels/sanitize.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "tests")]

import geofcs_kernels  # noqa: E402, the sources beside this script
import torch  # noqa: E402
from reference import ODD_SIZES, Size, arguments  # noqa: E402
from torch import Tensor  # noqa: E402

# Besides: a whole tile, a cluster of tiles, two passes; ranks of the usual case.
SIZES = [*ODD_SIZES, Size(1, 40, 16, 16, 64), Size(1, 32, 32, 32, 32), Size(1, 40, 33, 17, 8), Size(1, 32, 32, 18, 16)]
PADDING = 8
"""R + 2 factors are laid out as R + 8, which the fastest loads ask for."""


def main() -> None:
    """Forward and backward of both scans, in every dtype, with factors as they come and padded."""
    for dtype in geofcs_kernels.DTYPES:
        for size in SIZES:
            x, factors, *parameters = arguments(size, dtype, "cuda")
            for laid_out in (factors, padded(factors)):
                given = (x, laid_out, *parameters)
                geofcs_kernels.backward(geofcs_kernels.forward(*given), *given)
    selective()
    torch.cuda.synchronize()
    print(f"ran {len(SIZES)} sizes in {len(geofcs_kernels.DTYPES)} dtypes")


def padded(factors: Tensor) -> Tensor:
    """The same numbers, in memory that has room behind each direction's."""
    batch, directions, rows, height, width = factors.shape
    room = factors.new_zeros(batch, height, width, directions, rows - 2 + PADDING)
    room[..., :rows] = factors.permute(0, 3, 4, 1, 2)
    return room[..., :rows].permute(0, 3, 4, 1, 2)


def selective() -> None:
    """The general scan: two groups of five channels, four states, 37 positions."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, device="cuda")

    u, delta, maps = draw(2, 10, 37), draw(2, 10, 37), [draw(2, 2, 4, 37) for _ in range(2)]
    given = (u, delta, -draw(10, 4).exp(), *maps, draw(10), draw(10))
    geofcs_kernels.selective_scan_backward(geofcs_kernels.selective_scan(*given), *given)


if __name__ == "__main__":
    main()
