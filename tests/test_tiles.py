"""The lattice: coverage, shares, blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofcs.errors import InputError
from geofcs.tiles import MOST_BLOCK_COLUMNS, Axis, Block, Lattice


@st.composite
def axes(draw: st.DrawFn, longest: int = 400) -> Axis:
    tile = draw(st.integers(1, 64))
    return Axis(draw(st.integers(1, longest)), tile, draw(st.integers(0, tile - 1)))


@given(axes())
def test_shares_sum_to_one_at_every_pixel(axis: Axis) -> None:
    total = np.zeros(max(axis.length, axis.tile))
    for start, share in zip(axis.starts, axis.shares, strict=True):
        assert (share > 0).all()
        total[start : start + axis.tile] += share
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-6)


@given(axes())
def test_tiles_that_are_alike_have_the_same_shares(axis: Axis) -> None:
    for share, like in zip(axis.shares, axis.first_like, strict=True):
        assert (share == axis.shares[like]).all()
        assert axis.first_like[like] == like


def test_there_are_few_kinds_of_tiles_however_many_there_are() -> None:
    assert len(set(Axis(100_000, 512, 64).first_like)) == 5


@given(axes())
def test_tiles_start_at_multiples_of_the_stride_and_the_last_ends_with_the_axis(axis: Axis) -> None:
    assert all(start == index * axis.stride for index, start in enumerate(axis.starts[:-1]))
    assert axis.starts[-1] == max(0, axis.length - axis.tile)
    assert len(set(axis.starts)) == axis.count


@given(axes(), st.integers(0, 399))
def test_the_first_tile_that_reaches_a_pixel_is_the_first(axis: Axis, pixel: int) -> None:
    pixel = min(pixel, axis.length - 1)
    reaching = [i for i, start in enumerate(axis.starts) if start <= pixel < start + axis.tile]
    assert axis.first_touching(pixel) == reaching[0]


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    tile = draw(st.integers(4, 40))
    return Lattice.over(draw(st.integers(1, 500)), draw(st.integers(1, 500)), tile, draw(st.integers(0, tile - 1)))


@given(lattices(), st.integers(1, 9), st.integers(1, 40))
def test_blocks_own_every_tile_once(lattice: Lattice, workers: int, most_columns: int) -> None:
    owners = np.zeros((lattice.rows.count, lattice.cols.count), int)
    for block in lattice.blocks(workers, most_columns):
        assert block.stop_col - block.first_col <= most_columns
        owners[block.first_row : block.stop_row, block.first_col : block.stop_col] += 1
    assert (owners == 1).all()


@given(lattices(), st.integers(1, 9), st.integers(1, 40))
def test_a_block_computes_every_tile_that_reaches_its_pixels(lattice: Lattice, workers: int, most_columns: int) -> None:
    for block in lattice.blocks(workers, most_columns):
        top, bottom = lattice.rows.owned(block.first_row, block.stop_row)
        reaching = [i for i, start in enumerate(lattice.rows.starts) if start < bottom and start + lattice.tile > top]
        assert reaching == list(range(lattice.first_row_needed(block), block.stop_row))


@pytest.mark.parametrize(("workers", "most"), [(1, 0.05), (2, 0.10), (4, 0.10)])
def test_few_tiles_of_a_large_scene_are_computed_twice(workers: int, most: float) -> None:
    lattice = Lattice.over(20_000, 20_000, 512, 64)
    blocks = lattice.blocks(workers)
    assert len(blocks) >= workers
    assert sum(map(lattice.tiles_to_compute, blocks)) <= (1 + most) * lattice.count


def test_a_block_each_costs_no_row_twice_where_the_scene_is_wide_enough() -> None:
    lattice = Lattice.over(32_768, 32_768, 512, 64)
    blocks = lattice.blocks(4, per_worker=1)
    assert [(block.first_row, block.stop_row) for block in blocks] == [(0, 73)] * 4
    assert sum(map(lattice.tiles_to_compute, blocks)) == lattice.count + 3 * 73
    assert len(lattice.blocks(4)) == 12


def test_columns_are_cut_alike_for_any_number_of_workers() -> None:
    lattice = Lattice.over(20_000, 60_000, 512, 64)

    def cuts(workers: int) -> set[tuple[int, int]]:
        return {(block.first_col, block.stop_col) for block in lattice.blocks(workers)}

    assert cuts(1) == cuts(2) == cuts(7)
    assert max(stop - first for first, stop in cuts(1)) <= MOST_BLOCK_COLUMNS


def test_a_scene_of_one_tile_is_one_block() -> None:
    assert Lattice.over(100, 100, 512, 64).blocks(4) == [Block(0, 1, 0, 1)]


@pytest.mark.parametrize("overlap", [-1, 64, 100])
def test_an_overlap_that_does_not_fit_is_refused_with_the_range(overlap: int) -> None:
    with pytest.raises(InputError, match="use 0 to 63"):
        Axis(100, 64, overlap)
