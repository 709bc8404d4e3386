"""Blocks: what they compute depends on the lattice alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geofcs.batches import not_finite
from geofcs.blocks import BlockCounts, BlockJob, give_up, oddities_of, run_block
from geofcs.classes import SECOND
from geofcs.errors import ComputeError
from geofcs.model.interface import Logits, Scores, scores_of
from geofcs.oddities import Oddities
from geofcs.reading import prefetched
from geofcs.strips import strips_of
from geofcs.tiles import Block, Lattice
from tests.stubs import Nobody, StubPair, StubScorer, StubScorerSource, strip_layers


def stub_job(folder: Path, height: int = 300, width: int = 400, tile: int = 64, overlap: int = 16) -> BlockJob:
    folder.mkdir(exist_ok=True)
    return BlockJob(
        pair=StubPair(height, width, hole=100),
        lattice=Lattice.over(height, width, tile, overlap),
        scheme=SECOND,
        scorer=StubScorerSource(divisor=width),
        batch=1,
        threads=1,
        threshold=0.5,
        landcover=True,
        strips=folder,
    )


class Counting(Nobody):
    """Remembers the tiles it was told of."""

    def __init__(self) -> None:
        self.tiles = 0

    def tiles_done(self, count: int) -> None:
        self.tiles += count


def mosaic(job: BlockJob, blocks: list[Block]) -> np.ndarray:
    """All bands of the whole scene, put together from the strips."""
    whole = np.zeros((job.bands, *job.pair.grid.shape), np.uint8)
    for block in blocks:
        for strip in strips_of(job.lattice, block):
            layers = strip_layers(job.strips, strip, job.bands)
            whole[:, strip.top : strip.top + strip.height, strip.left : strip.left + strip.width] = layers
    return whole


def run(job: BlockJob, workers: int, most_columns: int) -> np.ndarray:
    blocks = job.lattice.blocks(workers, most_columns)
    for block in blocks:
        run_block(job, block, Nobody())
    return mosaic(job, blocks)


@pytest.mark.parametrize("overlap", [0, 1, 16, 40])
def test_a_scene_of_its_own_coordinates_comes_back(tmp_path: Path, overlap: int) -> None:
    job = stub_job(tmp_path / "strips", overlap=overlap)
    codes, percent, cover_t1, cover_t2 = run(job, 1, 32)
    rows, cols = np.mgrid[0:300, 0:400]
    valid = ~((rows >= 100) & (rows < 140) & (cols >= 100) & (cols < 140))
    assert (codes[~valid] == SECOND.nodata).all()
    assert (percent[~valid] == 255).all()
    np.testing.assert_allclose(percent[valid], 100 * cols[valid] / 400, atol=0.501)
    changed = valid & (cols > 200)
    assert (codes[valid & (cols < 200)] == 0).all()
    assert (cover_t1[changed] == rows[changed] // 50 % 6 + 1).all()
    assert (cover_t2[changed] == cols[changed] // 50 % 6 + 1).all()
    assert (codes[changed] == SECOND.encode(cover_t1[changed], cover_t2[changed])).all()


@pytest.mark.parametrize(("workers", "most_columns", "batch"), [(1, 3, 1), (4, 32, 1), (2, 1, 1), (3, 2, 3)])
def test_pixels_do_not_depend_on_how_the_work_is_split(
    tmp_path: Path, workers: int, most_columns: int, batch: int
) -> None:
    whole = run(replace(stub_job(tmp_path / "whole"), batch=batch), 1, 32)
    split = run(replace(stub_job(tmp_path / "split"), batch=batch), workers, most_columns)
    assert (whole == split).all()


class SlotScorer(StubScorer):
    """Scores that betray the slot a tile had in its batch."""

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        slots = torch.linspace(0, 0.4, len(t1))[:, None, None]
        return super().__call__(t1, t2)._replace(change=slots.expand(t1[:, 0].shape))


class SlotScorerSource(StubScorerSource):
    def load(self) -> SlotScorer:
        return SlotScorer(self.divisor)


@pytest.mark.parametrize("most_columns", [2, 5, 32])
def test_a_tile_has_the_same_slot_of_a_batch_however_rows_are_split(tmp_path: Path, most_columns: int) -> None:
    job = replace(stub_job(tmp_path / "whole"), batch=3, scorer=SlotScorerSource(1))
    whole = run(job, 1, most_columns)
    assert len(np.unique(whole[1])) > 3
    split = replace(stub_job(tmp_path / "split"), batch=3, scorer=SlotScorerSource(1))
    assert (run(split, 3, most_columns) == whole).all()
    again = split.lattice.blocks(3, most_columns)[-1]
    for strip in strips_of(split.lattice, again)[1:]:
        (split.strips / strip.name).unlink()
    run_block(split, again, Nobody())
    assert (mosaic(split, split.lattice.blocks(3, most_columns)) == whole).all()


class CallCounter(StubScorerSource):
    """Counts the model's calls."""

    calls = 0

    def load(self) -> StubScorer:
        counted = self

        class Counted(StubScorer):
            def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
                type(counted).calls += 1
                return super().__call__(t1, t2)

        return Counted(self.divisor)


def test_batches_go_on_across_the_ends_of_rows(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), batch=5, scorer=CallCounter(1))
    rows, cols = job.lattice.rows.count, job.lattice.cols.count
    assert cols % 5, "rows that are no multiple of a batch"
    counts = run_block(job, job.lattice.blocks(1)[0], Nobody())
    assert counts.tiles_scored == rows * cols
    assert CallCounter.calls == -(-rows * cols // 5)


def test_a_block_taken_up_again_rewrites_only_what_is_missing_or_damaged(tmp_path: Path) -> None:
    job = stub_job(tmp_path / "strips")
    block = job.lattice.blocks(1)[0]
    run_block(job, block, Nobody())
    before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in job.strips.iterdir()}
    strips = strips_of(job.lattice, block)
    (job.strips / strips[2].name).unlink()
    damaged = job.strips / strips[4].name
    damaged.write_bytes(damaged.read_bytes()[:-40])
    told = Counting()
    counts = run_block(job, block, told)
    assert counts == BlockCounts(len(strips) - 2, 2, counts.tiles_scored, counts.tiles_empty)
    assert counts.tiles_scored + counts.tiles_empty == 4 * job.lattice.cols.count
    assert told.tiles == job.lattice.tiles_to_compute(block)
    assert {path.name: hashlib.sha256(path.read_bytes()).digest() for path in job.strips.iterdir()} == before


def test_tiles_without_a_valid_pixel_skip_the_model(tmp_path: Path) -> None:
    job = stub_job(tmp_path / "strips", tile=16, overlap=2)
    counts = run_block(job, job.lattice.blocks(1, most_columns=32)[0], Nobody())
    assert counts.tiles_empty == 1
    assert counts.tiles_scored == job.lattice.count - 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (64, 63), (20, 300)])
def test_a_scene_smaller_than_a_tile_is_computed_whole(tmp_path: Path, height: int, width: int) -> None:
    job = replace(stub_job(tmp_path / "strips", height, width), pair=StubPair(height, width))
    _codes, percent, _, _ = run(job, 1, 32)
    np.testing.assert_allclose(percent, np.broadcast_to(100 * np.arange(width) / width, (height, width)), atol=0.501)


class BrokenScorer(StubScorer):
    """Scores that are not finite in every tile that reaches over row 130; in float32 only where column 10 is, too."""

    in_float32 = False

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        scores = super().__call__(t1, t2)
        broken = (t1[:, 0] == 130) & ((t1[:, 1] == 10) | (not self.in_float32))
        scores.change[broken] = torch.nan
        return scores


class ExactScorer(BrokenScorer):
    in_float32 = True


class BrokenScorerSource(StubScorerSource):
    def load(self) -> BrokenScorer:
        return BrokenScorer(self.divisor)

    def in_float32(self) -> StubScorerSource | None:
        return ExactScorerSource(self.divisor)


class ExactScorerSource(BrokenScorerSource):
    def load(self) -> BrokenScorer:
        return ExactScorer(self.divisor)

    def in_float32(self) -> StubScorerSource | None:
        return None


def test_scores_that_are_not_finite_name_their_tile(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), scorer=ExactScorerSource(400))
    with pytest.raises(ComputeError, match=r"tile at row 96, column 0.*--on-tile-error nodata"):
        run_block(job, job.lattice.blocks(1)[0], Nobody())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_tile_is_not_finite_where_any_of_its_scores_is_whichever_logit_was_bad(bad: float) -> None:
    for channel in range(2 + 2 * SECOND.count):
        maps = torch.randn(3, 2 + 2 * SECOND.count, 8, 8)
        maps[1, channel, 5, 6] = bad
        scores = scores_of(Logits(*torch.split(maps, [2, SECOND.count, SECOND.count], 1)))
        worst = {
            slot for slot in range(3) for layer in scores if layer is not None and not layer[slot].isfinite().all()
        }
        assert not_finite(scores, range(3)) == worst
        assert worst == ({1} if bad != -torch.inf else set())


TILES_OVER_ROW_130 = frozenset((96, col) for col in (0, 48, 96, 144, 192, 240, 288, 336))


def test_scores_that_are_not_finite_are_computed_again_in_float32(tmp_path: Path) -> None:
    job = stub_job(tmp_path / "strips")
    broken = replace(job, scorer=BrokenScorerSource(400), failed_become_nodata=True, strips=tmp_path / "broken")
    broken.strips.mkdir()
    pixels, blocks = run(broken, 1, 32), broken.lattice.blocks(1)
    odd = oddities_of(broken, blocks)
    assert odd.failed == {(96, 0)}
    assert odd.in_float32 == TILES_OVER_ROW_130 - odd.failed
    failed = np.zeros(pixels.shape[1:], np.bool_)
    failed[96:160, 0:64] = True
    whole = run(job, 1, 32)
    assert (pixels[:, ~failed] == whole[:, ~failed]).all()
    assert (pixels[:, failed] == 255).all()


@pytest.mark.parametrize(("workers", "most_columns"), [(4, 32), (2, 1)])
def test_failed_tiles_are_the_same_pixels_however_the_work_is_split(
    tmp_path: Path, workers: int, most_columns: int
) -> None:
    jobs = [
        replace(stub_job(tmp_path / name), scorer=ExactScorerSource(400), failed_become_nodata=True)
        for name in ("whole", "split")
    ]
    whole, split = run(jobs[0], 1, 32), run(jobs[1], workers, most_columns)
    assert (whole == split).all()
    assert oddities_of(jobs[1], jobs[1].lattice.blocks(workers, most_columns)).failed == {(96, 0)}


def test_strips_with_failed_tiles_are_computed_again_once_failing_is_not_allowed(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), scorer=ExactScorerSource(400), failed_become_nodata=True)
    block = job.lattice.blocks(1)[0]
    run_block(job, block, Nobody())
    assert run_block(job, block, Nobody()).strips_written == 0
    mended = replace(job, scorer=StubScorerSource(400), failed_become_nodata=False)
    assert run_block(mended, block, Nobody()).strips_written == 2
    assert (mosaic(mended, [block]) == run(stub_job(tmp_path / "whole"), 1, 32)).all()
    assert oddities_of(mended, [block]) == Oddities()


def test_a_block_that_is_given_up_becomes_nodata_where_it_was_not_finished(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), failed_become_nodata=True)
    block = job.lattice.blocks(1)[0]
    run_block(job, block, Nobody())
    whole = mosaic(job, [block])
    strips = strips_of(job.lattice, block)
    for strip in strips[3:]:
        (job.strips / strip.name).unlink()
    assert give_up(job, block) == BlockCounts(3, len(strips) - 3, 0, 0)
    pixels = mosaic(job, [block])
    assert (pixels[:, : strips[3].top] == whole[:, : strips[3].top]).all()
    assert (pixels[:, strips[3].top :] == 255).all()
    assert len(oddities_of(job, [block]).failed) == (len(strips) - 3) * job.lattice.cols.count


class CrampedScorer(StubScorer):
    """Memory for so many tiles and no more; notes how many it was given."""

    def __init__(self, divisor: float, fits: int, error: Exception) -> None:
        super().__init__(divisor)
        self._fits, self._error = fits, error
        self.sizes: list[int] = []

    def __call__(self, t1: Tensor, t2: Tensor) -> Scores:
        self.sizes.append(len(t1))
        if len(t1) > self._fits:
            raise self._error
        return super().__call__(t1, t2)


class CrampedSource:
    def __init__(self, scorer: CrampedScorer) -> None:
        self.scorer = scorer

    def load(self) -> CrampedScorer:
        return self.scorer

    def in_float32(self) -> None:
        return None


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_too_little_memory_halves_the_batch_and_goes_on(tmp_path: Path, error: Exception) -> None:
    scorer = CrampedScorer(400, 2, error)
    job = replace(stub_job(tmp_path / "strips"), batch=8, scorer=CrampedSource(scorer))
    whole = run(replace(stub_job(tmp_path / "whole"), batch=8), 1, 32)
    assert (run(job, 2, 32) == whole).all()
    assert scorer.sizes[:3] == [8, 4, 2]
    assert set(scorer.sizes[2:]) == {2}, "later blocks do not try again what did not fit"
    assert oddities_of(job, job.lattice.blocks(2)) == Oddities(part=2)


def test_too_little_memory_for_one_tile_says_what_to_change(tmp_path: Path) -> None:
    scorer = CrampedScorer(400, 0, OUT_OF_MEMORY[0])
    job = replace(stub_job(tmp_path / "strips"), batch=4, scorer=CrampedSource(scorer))
    with pytest.raises(ComputeError, match=r"out of memory with one tile of 64 pixels: use a smaller --tile"):
        run_block(job, job.lattice.blocks(1)[0], Nobody())
    assert scorer.sizes == [4, 2, 1]


def test_an_error_that_is_not_about_memory_comes_out(tmp_path: Path) -> None:
    job = replace(stub_job(tmp_path / "strips"), scorer=CrampedSource(CrampedScorer(400, 0, RuntimeError("shapes"))))
    with pytest.raises(RuntimeError, match="shapes"):
        run_block(job, job.lattice.blocks(1)[0], Nobody())


def test_prefetched_items_keep_their_order_and_an_error_its_place() -> None:
    def items() -> Generator[int]:
        yield from range(5)
        raise ValueError("sixth")

    seen: list[int] = []
    with pytest.raises(ValueError, match="sixth"), prefetched(items(), 3) as stream:
        seen.extend(stream)
    assert seen == [0, 1, 2, 3, 4]


def test_leaving_a_prefetched_stream_early_closes_the_generator_in_its_thread() -> None:
    closed = []

    def items() -> Generator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(threading.current_thread().name)

    with prefetched(items(), 2) as stream:
        assert next(stream) == 0
    assert [name.startswith("geofcs-read") for name in closed] == [True]
