"""The properties of the lattice and of alignment, each with thousands of examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geofcs.grid import Grid
from geofcs.tiles import Axis, Lattice
from tests import test_tiles
from tests.scene import test_alignment
from tests.test_tiles import axes, lattices
from tests.torture.faults import ALIGNMENTS, LATTICES, tell

MANY = settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])

pytestmark = pytest.mark.long


def again(test: Callable[..., None]) -> Callable[..., None]:
    """What a test asserts of one example."""
    return cast(Callable[..., None], test.hypothesis.inner_test)  # type: ignore[attr-defined]


@MANY
@given(axes())
def test_shares_sum_to_one_and_tiles_start_at_multiples_of_the_stride(axis: Axis) -> None:
    again(test_tiles.test_shares_sum_to_one_at_every_pixel)(axis)
    again(test_tiles.test_tiles_start_at_multiples_of_the_stride_and_the_last_ends_with_the_axis)(axis)
    tell(LATTICES, {"shares": 1})


@MANY
@given(axes(), st.integers(0, 399))
def test_the_first_tile_that_reaches_a_pixel_is_the_first(axis: Axis, pixel: int) -> None:
    again(test_tiles.test_the_first_tile_that_reaches_a_pixel_is_the_first)(axis, pixel)
    tell(LATTICES, {"tiles of a pixel": 1})


@MANY
@given(lattices(), st.integers(1, 9), st.integers(1, 40))
def test_blocks_own_and_compute_what_they_must(lattice: Lattice, workers: int, most_columns: int) -> None:
    again(test_tiles.test_blocks_own_every_tile_once)(lattice, workers, most_columns)
    again(test_tiles.test_a_block_computes_every_tile_that_reaches_its_pixels)(lattice, workers, most_columns)
    tell(LATTICES, {"blocks": 1})


@MANY
@given(test_alignment.second_grids(), st.integers(0, 2**32 - 1))
def test_coordinates_come_to_where_they_belong_by_any_window(second: Grid, seed: int) -> None:
    again(test_alignment.test_coordinates_come_to_where_they_belong_by_any_window)(second, seed)
    tell(ALIGNMENTS, {"aligned": 1})
