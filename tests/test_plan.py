"""What a plan makes of a request: the blocks that its crew computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from geofcs.crew import BLOCKS_PER_GPU, Crew
from geofcs.plan import DetectPlan
from geofcs.scoring import ModelSource
from geofcs.tiles import Lattice


def plan(device: str, crew: Crew, width: int = 32_768) -> DetectPlan:
    """Of a scene of 73 rows of tiles, by default as wide."""
    return DetectPlan(
        pair=None, lattice=Lattice.over(32_768, width, 512, 64), weights=None,  # type: ignore[arg-type]  # not asked
        source=ModelSource(Path("x"), "", device, "fp32"), batch=8, kernel="", crew=crew, threshold=0.5,
        landcover=False, on_tile_error="fail",
    )  # fmt: skip


@pytest.mark.parametrize(
    "crew", [Crew("threads", 1, BLOCKS_PER_GPU, 1), Crew("processes", 1, BLOCKS_PER_GPU, 1, ("0",))]
)
def test_blocks_that_share_a_gpu_lie_side_by_side_and_no_row_is_computed_twice(crew: Crew) -> None:
    blocks = plan("cuda", crew).blocks
    assert len(blocks) == BLOCKS_PER_GPU
    assert all((block.first_row, block.stop_row) == (0, 73) for block in blocks)


@pytest.mark.parametrize("width", range(5_000, 100_000, 5_000))
def test_no_block_is_left_to_be_computed_alone_on_a_gpu(width: int) -> None:
    blocks = plan("cuda", Crew("threads", 1, BLOCKS_PER_GPU, 1), width).blocks
    assert len(blocks) % BLOCKS_PER_GPU == 0 or len(blocks) >= 2 * BLOCKS_PER_GPU
    assert len(blocks) >= BLOCKS_PER_GPU


def test_on_a_cluster_blocks_are_left_for_workers_that_join_later() -> None:
    assert len(plan("cuda", Crew("cluster", 1, BLOCKS_PER_GPU, 1)).blocks) == 3 * BLOCKS_PER_GPU


def test_workers_that_work_by_themselves_get_several_blocks_each() -> None:
    cores, gpus = Crew("threads", 1, 4, 1), Crew("processes", 2, BLOCKS_PER_GPU, 1, ("0", "1"))
    assert len(plan("cpu", cores).blocks) == 3 * 4
    assert len(plan("cuda", gpus).blocks) >= 2 * 2 * BLOCKS_PER_GPU


def test_a_single_worker_computes_nothing_twice_but_where_columns_are_cut() -> None:
    one = replace(plan("cpu", Crew("threads", 1, 1, 1)))
    assert all((block.first_row, block.stop_row) == (0, 73) for block in one.blocks)
