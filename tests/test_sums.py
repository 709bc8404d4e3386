"""Sums of tiles' scores in the row of accumulators."""

from __future__ import annotations

import numpy as np
import torch

from geofcs.sums import RowSums
from geofcs.tiles import Lattice


def test_blended_coordinates_are_the_coordinates_to_rounding() -> None:
    lattice = Lattice.over(150, 200, 64, 16)
    sums = RowSums(lattice, 0, 200, 1, torch.device("cpu"))
    for row, top in enumerate(lattice.rows.starts):
        sums.advance(top - lattice.rows.starts[max(0, row - 1)])
        for col, left in enumerate(lattice.cols.starts):
            place = (left + torch.arange(64.0)).expand(64, 64) + 200 * (top + torch.arange(64.0))[:, None]
            sums.add(row, col, place[None])
        first, stop = lattice.rows.owned(row, row + 1)
        expected = np.arange(200.0) + 200 * np.arange(first, stop)[:, None]
        np.testing.assert_allclose(sums.top(stop - first)[0], expected, rtol=3e-7)


def test_where_no_tile_has_a_say_the_sum_is_nothing() -> None:
    lattice = Lattice.over(64, 112, 64, 16)
    sums = RowSums(lattice, 0, 112, 2, torch.device("cpu"))
    sums.add(0, 0, torch.ones(2, 64, 64))
    sums.add_nothing(1)
    assert (sums.top(64)[:, :, :48] == 1).all()
    assert (sums.top(64)[:, :, 48:64] < 1).all()
    assert (sums.top(64)[:, :, 64:] == 0).all()
