"""What ends a run ends it in one line, with everything learnt so far kept and the way on told."""

from __future__ import annotations

import csv
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from geofcs.classes import SECOND
from geofcs.errors import ComputeError, GeofcsError, InputError, OutputError
from geofcs.training import loading, step, train
from geofcs.training.batches import Batch
from geofcs.training.checkpoint import Checkpoints
from geofcs.training.config import RunConfig
from geofcs.training.loading import batches
from geofcs.training.losses import LossTerms, change_loss
from geofcs.training.order import Share
from geofcs.training.record import Table
from geofcs.training.worlds import Worlds
from tests.training.folders import coloured, made, save, second_as_distributed
from tests.training.runs import LIGHT, after, run, tiny


def folder_run(folder: Path, *settings: str) -> RunConfig:
    """A tiny run on a folder of images; which model learns makes no difference to what ends it."""
    return tiny(*LIGHT, "data.dataset=second", f"data.folder={folder}", *settings)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Six pairs to train on and two of another size each to validate on."""
    folder = tmp_path / "pairs"
    second_as_distributed(folder / "train", [(f"{number:05}", made(number)) for number in range(6)])
    second_as_distributed(folder / "val", [("a", made(7)), ("b", made(8, side=64)), ("c", made(9, side=64))])
    return folder


def spoil(path: Path) -> None:
    """A label of a colour that stands for nothing."""
    wrong = coloured(np.zeros((48, 48), np.uint8), SECOND)
    wrong[3, 5] = (1, 2, 3)
    save(path, wrong)


def test_validation_pairs_may_differ_in_size(pairs: Path, tmp_path: Path) -> None:
    settings = ("validation.batch=4", "validation.every=2", "train.iterations=2", "output.tensorboard=true")
    assert run(folder_run(pairs, *settings), tmp_path / "run").iteration == 2


@pytest.mark.parametrize(("part", "done"), [("train", 4), ("val", 6)])
def test_a_label_off_the_palette_ends_a_run_with_what_was_learnt_before_it_saved(
    pairs: Path, tmp_path: Path, part: str, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder_run(pairs, "validation.every=6", "output.save_every=100", "train.iterations=6")
    iterate, counted = step.iterate, iter(range(1, 100))
    wrong = pairs / part / "label1" / ("00000.png" if part == "train" else "b.png")

    def spoiling(*arguments: object) -> object:
        if next(counted) == 5:
            for number in range(6) if part == "train" else ():
                spoil(pairs / "train" / "label1" / f"{number:05}.png")
            if part == "val":
                spoil(wrong)
        return iterate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(train, "iterate", spoiling)
        with pytest.raises(InputError, match=r"row 3, column 5 holds \(1, 2, 3\)") as caught:
            run(config, tmp_path / "run")
    said = str(caught.value)
    assert f"the state after iteration {done} is safe" in said and said.endswith(f"--resume {tmp_path / 'run'}")
    assert "\n" not in said and caught.value.exit_code == 3
    assert Checkpoints(tmp_path / "run" / "state").load()[1]["progress"]["iteration"] == done


def test_batch_norms_are_as_before_where_a_later_part_of_the_batch_cannot_be_read(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        "data.dataset=second",
        f"data.folder={pairs}",
        "train.batch=4",
        "train.accumulate=2",
        "train.ema=null",
        "output.save_every=1",
        "train.iterations=2",
    )
    run(config, tmp_path / "run", stop=after(1))
    before, _ = Checkpoints(tmp_path / "run" / "state").load()
    source = train.batches_of

    def ending(*arguments: object) -> Iterator[Batch]:
        yield next(iter(source(*arguments)))  # type: ignore[arg-type]
        raise InputError("the second part cannot be read")

    monkeypatch.setattr(train, "batches_of", ending)
    with pytest.raises(InputError, match="second part"):
        run(config, tmp_path / "run", resume=True)
    after_it, _ = Checkpoints(tmp_path / "run" / "state").load()
    assert all(torch.equal(tensor, after_it[name]) for name, tensor in before.items())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run saved after two iterations."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    run(tiny(*LIGHT), folder, stop=after(2))
    return folder


@contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    """A disk that is full as far as this process is concerned."""
    old, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard's own thread
@pytest.mark.parametrize(
    ("settings", "limit", "what"),
    [
        (("validation.every=3",), 100_000, "best.safetensors"),
        (("output.save_every=3",), 100_000, "state"),
        (("output.log_every=1",), 2_000, "losses.csv"),
        (("output.log_every=1", "output.tensorboard=true"), 2_000, "events"),
        ((), 500, "config.yaml"),
    ],
)
def test_a_full_disk_is_told_in_one_line_whatever_was_being_written(
    stopped: Path, tmp_path: Path, settings: tuple[str, ...], limit: int, what: str
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    before = {file.name: file.read_bytes() for file in (folder / "state").iterdir()}
    with files_no_larger_than(limit), pytest.raises(OutputError) as caught:
        seldom = ("train.iterations=60", "validation.every=100", "output.save_every=100")
        run(tiny(*LIGHT, *seldom, *settings), folder, resume=True)
    said = str(caught.value)
    assert said.startswith(str(folder / what)) and "too large" in said.lower() and "\n" not in said
    assert said.endswith(f"the state after iteration 2 is safe: make room, then geofcs train --resume {folder}")
    assert caught.value.exit_code == 5
    assert {file.name: file.read_bytes() for file in (folder / "state").iterdir()} == before


def test_a_row_cut_short_by_a_full_disk_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text("iteration,total\n2,0.5\n1")
    Table(path, 4).add({"iteration": 6, "total": 0.25})
    with path.open() as file:
        assert list(csv.reader(file)) == [["iteration", "total"], ["2", "0.5"], ["6", "0.25"]]


def test_too_little_memory_later_on_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1, 100))

    def full(*arguments: object) -> LossTerms:
        if next(calls) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return change_loss(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "change_loss", full)
    with pytest.raises(
        ComputeError, match=r"train\.accumulate=2.*the state after iteration 4 is safe: say it with"
    ) as e:
        run(tiny(*LIGHT), tmp_path / "run")
    assert e.value.exit_code == 6


def test_a_run_that_failed_before_it_saved_does_not_block_its_folder(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fewer than the crop of 64: say --set data.crop=32$"):
        run(folder_run(pairs, "data.crop=64"), tmp_path / "run")
    assert run(folder_run(pairs, "train.iterations=1"), tmp_path / "run").iteration == 1


def test_images_smaller_than_any_crop_are_not_answered_with_a_crop_of_zero(tmp_path: Path) -> None:
    second_as_distributed(tmp_path / "pairs", [(f"{number}", made(number, side=24)) for number in range(4)])
    with pytest.raises(InputError, match=r"has 24 x 24 pixels.* the model takes 32 and more"):
        run(folder_run(tmp_path / "pairs"), tmp_path / "run")


def test_one_small_pair_at_a_time_is_refused_for_the_sake_of_batch_norms(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"say --set data\.crop=64"):
        run(folder_run(pairs, "train.accumulate=2"), tmp_path / "run")


class Dying:
    """A loader whose worker the system ended."""

    num_workers = 8

    def __iter__(self) -> Dying:
        return self

    def __next__(self) -> Batch:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.\nmore")


def test_a_reader_that_the_system_ended_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "DataLoader", lambda *_, **__: Dying())
    with pytest.raises(ComputeError, match=r"pid 7.*data\.workers=4") as caught:
        next(batches(Worlds(tiny().worlds, SECOND, 32, 1, "train", 6), 32, 0, Share(0, 1, 1, 1), 0, 8, pinned=False))
    assert "\n" not in str(caught.value)
    assert issubclass(ComputeError, GeofcsError)
