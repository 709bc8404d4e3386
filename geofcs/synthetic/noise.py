"""Noise that is a function of absolute coordinates and a key, so that no block of pixels knows about another.

Only additions, multiplications and integer arithmetic touch whole arrays: numpy rounds those alike wherever in an array
a number stands, which it does not promise of sines and exponentials.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Metres = npt.NDArray[np.float64]

SPLINE_SPREAD = 3.6
"""Uniform numbers in [-1, 1] under two cubic B-splines have about this reciprocal standard deviation."""


def key_of(seed: int, *names: str | int) -> int:
    """A 64-bit key for everything that is called by these names in the world of that seed."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashed(key: int, rows: npt.NDArray[Any], cols: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """(len(rows), len(cols)) uniformly random 64-bit numbers, one for each integer lattice point."""
    mixed = _scrambled(rows.astype(np.int64).view(np.uint64) + np.array(key, np.uint64))
    return _scrambled(mixed[:, None] ^ _scrambled(cols.astype(np.int64).view(np.uint64))[None, :])


def _scrambled(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.array(0xBF58476D1CE4E5B9, np.uint64)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.array(0x94D049BB133111EB, np.uint64)
    return numbers ^ (numbers >> np.uint64(31))


def uniform(key: int, rows: npt.NDArray[Any], cols: npt.NDArray[Any]) -> Floats:
    """(len(rows), len(cols)) numbers in [0, 1), one for each integer lattice point."""
    return (hashed(key, rows, cols) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def smooth(key: int, y: Metres, x: Metres, cell: float, period: int = 0) -> Floats:
    """(len(y), len(x)) of a smooth random field with mean 0 and standard deviation about 1.

    The field varies over lengths of `cell`, in their unit. With a `period` it repeats after that
    many cells.
    """
    rows, row_weights = _spline(y, cell)
    cols, col_weights = _spline(x, cell)
    top, left = rows.min(), cols.min()
    lattice_rows, lattice_cols = np.arange(top, rows.max() + 4), np.arange(left, cols.max() + 4)
    if period:
        lattice_rows, lattice_cols = lattice_rows % period, lattice_cols % period
    values = (uniform(key, lattice_rows, lattice_cols) * 2 - 1) * np.float32(SPLINE_SPREAD)
    down = _weighted(row_weights[:, :, None], [values[rows - top + tap] for tap in range(4)])
    field = np.empty((len(y), len(x)), np.float32)
    starts = np.flatnonzero(np.diff(cols, prepend=cols[0] - 1))
    for start, stop in zip(starts, [*starts[1:], len(x)], strict=True):
        first = cols[start] - left
        columns = [down[:, first + tap : first + tap + 1] for tap in range(4)]
        field[:, start:stop] = _weighted(col_weights[:, None, start:stop], columns)
    return field


def _spline(positions: Metres, cell: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """For each position the first of its four lattice points, and their cubic B-spline weights (4, n)."""
    scaled = positions / cell
    first = np.floor(scaled)
    f = scaled - first
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, 3 * f * (1 + f - f * f) + 1, f**3]) / 6
    return first.astype(np.int64) - 1, weights.astype(np.float32)


def _weighted(weights: Floats, parts: list[Floats]) -> Floats:
    total: Floats = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total += weight * part
    return total


def fractal(key: int, y: Metres, x: Metres, cells: tuple[float, ...], roughness: float = 0.5) -> Floats:
    """A sum of smooth fields, one per length in `cells`, each `roughness` times as strong as the one before."""
    total = smooth(key_of(key, 0), y, x, cells[0])
    for octave, cell in enumerate(cells[1:], 1):
        total += np.float32(roughness**octave) * smooth(key_of(key, octave), y, x, cell)
    return total


def texture_tile(key: int, size: int, cells: tuple[int, ...], grain: float) -> Floats:
    """(size, size) of texture that repeats without a seam, mean 0 and standard deviation 1.

    `cells` are lengths in pixels that divide `size`; `grain` is the strength of noise that differs at every pixel.
    """
    y = np.arange(size, dtype=np.float64)
    tile = (uniform(key, y, y) - np.float32(0.5)) * np.float32(grain * 12**0.5)
    for cell in cells:
        tile += smooth(key_of(key, cell), y, y, cell, size // cell)
    scaled: Floats = (tile - tile.mean()) / tile.std()
    return scaled


def window_of(tile: npt.NDArray[Any], row: int, col: int, height: int, width: int) -> npt.NDArray[Any]:
    """(height, width) of a plane paved with `tile`, from (row, col) on."""
    rows = np.arange(row, row + height) % tile.shape[0]
    cols = np.arange(col, col + width) % tile.shape[1]
    window: npt.NDArray[Any] = tile.take(rows, 0).take(cols, 1)
    return window
