"""Land covers of what changed: looked up in the tiles' scores, and in sums of all of them."""

from __future__ import annotations

import itertools
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofcs.blend import RowBlend
from geofcs.classes import SECOND
from geofcs.covers import BlendedScores, LookedUpScores, SummedScores
from geofcs.model.interface import Scores
from geofcs.tiles import Block, Lattice

COVERS = 6
THRESHOLD = 0.4
CPU = torch.device("cpu")


def of_tile(layers: torch.Tensor) -> Scores:
    change, *covers = layers.split_with_sizes([1, COVERS, COVERS])
    return Scores(change[0], covers[0], covers[1])


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(150, 200, 64, 16), (90, 171, 64, 40), (40, 130, 64, 0)]
)
def test_labels_are_those_of_the_sums_of_all_tiles_scores(height: int, width: int, tile: int, overlap: int) -> None:
    lattice = Lattice.over(height, width, tile, overlap)
    rows, cols = lattice.rows, lattice.cols
    tall, wide = max(height, tile), max(width, tile)
    sums = torch.zeros(1 + 2 * COVERS, tall, wide)
    blend = RowBlend(lattice, lattice.blocks(1)[0], SECOND, CPU, THRESHOLD)
    torch.manual_seed(0)
    tiles = torch.rand(rows.count, cols.count, 1 + 2 * COVERS, tile, tile)
    for row, col in np.ndindex(rows.count, cols.count):
        share = torch.from_numpy(rows.shares)[row][:, None] * torch.from_numpy(cols.shares)[col][None]
        top, left = rows.starts[row], cols.starts[col]
        sums[:, top : top + tile, left : left + tile] += tiles[row, col] * share
    before, after = sums[1 : 1 + COVERS].argmax(0) + 1, sums[1 + COVERS :].argmax(0) + 1
    expected = np.where(sums[0] > THRESHOLD, SECOND.encode(before, after), 0)
    for row in range(rows.count):
        blend.advance(rows.starts[row] - rows.starts[max(0, row - 1)])
        for col in range(cols.count):
            blend.add_valid(col, np.ones((min(tile, height), min(tile, width)), np.bool_))
            blend.add_scores(row, col, of_tile(tiles[row, col]))
        first, stop = rows.owned(row, row + 1)
        assert (blend.finish(stop - first).codes == expected[first:stop, :width]).all()


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    tile = draw(st.integers(1, 24))
    return Lattice.over(draw(st.integers(1, 80)), draw(st.integers(1, 80)), tile, draw(st.integers(0, tile // 4)))


@settings(max_examples=60, deadline=None)
@given(lattices(), st.data())
def test_what_is_looked_up_is_what_sums_of_everything_give_to_the_last_bit(
    lattice: Lattice, data: st.DataObject
) -> None:
    """Of any block, wherever it begins, and whichever tiles have no scores."""
    workers, most_columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    block = data.draw(st.sampled_from(lattice.blocks(workers, most_columns)))
    first, stop = lattice.cols.owned(block.first_col, block.stop_col)
    of_both: tuple[BlendedScores, BlendedScores] = (
        LookedUpScores(lattice, first, stop, COVERS, THRESHOLD), SummedScores(lattice, first, stop, COVERS, CPU)
    )  # fmt: skip
    dice = np.random.default_rng(data.draw(st.integers(0, 1000)))
    every = range(lattice.first_row_needed(block), block.stop_row)
    rows = sorted(data.draw(st.sets(st.sampled_from(every), min_size=1)))  # a run that goes on leaves some out
    for before, row in itertools.pairwise([rows[0], *rows]):
        for each in of_both:
            each.advance(lattice.rows.starts[row] - lattice.rows.starts[before])
        for col in range(lattice.first_col_needed(block), block.stop_col):
            layers = np.round(
                dice.random((1 + 2 * COVERS, lattice.tile, lattice.tile), np.float32), 1
            )  # many are equal
            is_scored = dice.random() < 0.8
            for each in of_both:
                if is_scored:
                    each.add(row, col, of_tile(torch.from_numpy(layers)))
                else:
                    each.add_nothing(row, col)
        top, bottom = lattice.rows.owned(row, row + 1)
        change, expected = (each.change(bottom - top) for each in of_both)
        assert (change == expected).all()
        changed = np.flatnonzero(change > THRESHOLD)
        covers, expected_covers = (each.covers(changed) for each in of_both)
        assert (covers == expected_covers).all()


def test_scores_of_a_tile_are_let_go_once_no_tile_of_its_row_meets_it() -> None:
    lattice = Lattice.over(150, 300, 64, 16)
    scores = LookedUpScores(lattice, 0, 300, COVERS, THRESHOLD)
    kept: list[weakref.ref[np.ndarray]] = []
    for col in range(lattice.cols.count):
        layers = np.random.default_rng(col).random((1 + 2 * COVERS, 64, 64), np.float32)
        kept.append(weakref.ref(layers))
        scores.add(0, col, of_tile(torch.from_numpy(layers)))
        del layers
        assert sum(each() is not None for each in kept) <= 1


@pytest.mark.parametrize("height", [200, 200 + 47, 64 + 1, 64])
def test_what_is_kept_of_scores_is_there_from_the_beginning(height: int) -> None:
    """Wherever the last row of tiles comes to lie: of 64 rows the one above keeps 63 at most, and 16 otherwise."""
    lattice = Lattice.over(height, 300, 64, 16)
    scores = LookedUpScores(lattice, 0, 300, COVERS, THRESHOLD)
    room = scores._room._memory
    assert room.nbytes <= 4 * 2 * COVERS * (63 + 16) * 64 * lattice.cols.count
    for row in range(lattice.rows.count):
        scores.advance(lattice.rows.starts[row] - lattice.rows.starts[max(0, row - 1)])
        for col in range(lattice.cols.count):
            scores.add(row, col, of_tile(torch.rand(1 + 2 * COVERS, 64, 64)))
            kept = (*scores._above, *scores._below)
            assert all(np.shares_memory(layers, room) for part in kept for layers in part.scores)
        assert scores._here == []


@pytest.mark.parametrize(("overlap", "expected"), [(16, LookedUpScores), (17, SummedScores), (63, SummedScores)])
def test_land_covers_of_tiles_that_overlap_by_much_are_summed(overlap: int, expected: type) -> None:
    lattice = Lattice.over(200, 300, 64, overlap)
    assert isinstance(RowBlend(lattice, Block(0, 1, 0, 2), SECOND, CPU, THRESHOLD)._scores, expected)


def test_a_binary_scheme_has_no_covers() -> None:
    lattice = Lattice.over(64, 64, 64, 16)
    scores = SummedScores(lattice, 0, 64, 0, CPU)
    scores.add(0, 0, Scores(torch.ones(64, 64), None, None))
    assert (scores.covers(np.arange(64 * 64)) == 0).all()
    assert (scores.change(64) == 1).all()


def test_pixels_that_a_failed_tile_reaches_are_left_out_in_all_layers() -> None:
    lattice = Lattice.over(64, 112, 64, 16)
    blend = RowBlend(lattice, Block(0, 1, 0, 2), SECOND, CPU, THRESHOLD)
    for col in range(2):
        blend.add_valid(col, np.ones((64, 64), np.bool_))
    blend.add_scores(0, 0, of_tile(torch.ones(1 + 2 * COVERS, 64, 64)))
    blend.leave_out(1)
    blend.add_nothing(0, 1)
    labels = blend.finish(64)
    assert (labels.codes[:, :48] == SECOND.encode(1, 1)).all()
    assert (labels.codes[:, 48:] == SECOND.nodata).all()
