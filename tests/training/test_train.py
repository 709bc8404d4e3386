"""The loop: it goes on where it stopped, keeps what is good, and says what went wrong."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch

from geofcs import durable
from geofcs.errors import ComputeError, InputError, OutputError
from geofcs.model.weights import load_weights
from geofcs.training import sets, step
from geofcs.training.checkpoint import Checkpoints
from geofcs.training.config import RunConfig
from geofcs.training.losses import LossTerms, change_loss
from geofcs.training.train import train
from tests.training.runs import LIGHT, Silence, after, left_by, never, run, tiny

MODELS: dict[str, tuple[str, ...]] = {"light": LIGHT, "mamba-fcs": ()}
"""Settings that choose who learns."""


@pytest.fixture(scope="module", params=["light", pytest.param("mamba-fcs", marks=pytest.mark.long)])
def model(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Either of them: stopping and resuming are always tried with both, what else a loop does with the light one."""
    return MODELS[request.param]


@pytest.fixture(scope="module")
def config(model: tuple[str, ...]) -> RunConfig:
    """A run of the model."""
    return tiny(*model)


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(config, folder)
    return folder


@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_a_run_stopped_and_resumed_leaves_the_same_bytes_as_one_never_stopped(
    config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert run(config, folder, stop=after(3)).interrupted
    assert run(config, folder, stop=after(2), resume=True).iteration == 5
    assert not run(config, folder, resume=True).interrupted
    assert left_by(folder) == left_by(whole)


class Killed(BaseException):
    """A process that ends here."""


MOMENTS = (4, 7, 8, 9)
"""Which of a run's renames it is killed before."""


@pytest.fixture(scope="module")
def killed(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What a run that is killed at each of the moments leaves: copies of what one run has on disk there."""
    home, renames = tmp_path_factory.mktemp("killed"), iter(range(1, 1000))
    folder, rename = home / "run", durable.rename_synced

    def watched(unfinished: Path, path: Path) -> None:
        moment = next(renames)
        if moment in MOMENTS:
            shutil.copytree(folder, home / str(moment))
        if moment == MOMENTS[-1]:
            raise Killed
        rename(unfinished, path)

    with pytest.MonkeyPatch.context() as doomed, pytest.raises(Killed):
        doomed.setattr(durable, "rename_synced", watched)
        run(config, folder)
    return {moment: home / str(moment) for moment in MOMENTS}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_while_it_saves_goes_on_to_the_same_bytes(
    config: RunConfig, whole: Path, killed: dict[int, Path], moment: int
) -> None:
    folder = killed[moment]
    begun = Checkpoints(folder / "state").exist
    assert begun == (moment > 5)
    if not begun:
        with pytest.raises(InputError, match="no state of a run"):
            run(config, folder, resume=True)
        return
    run(config, folder, resume=True)
    assert left_by(folder) == left_by(whole)


def test_accumulated_steps_see_the_same_pairs_and_give_the_same_first_loss_without_batch_statistics(
    tmp_path: Path,
) -> None:
    losses = []
    for parts in (1, 2):
        settings = ("train.batch=4", f"train.accumulate={parts}", "train.iterations=1", "output.log_every=1")
        run(tiny(*settings), tmp_path / str(parts))
        with (tmp_path / str(parts) / "losses.csv").open() as file:
            losses.append(next(csv.DictReader(file)))
    # Batch norm and the terms over a whole batch see parts of it, so the losses are near and not equal.
    assert float(losses[0]["ce_change"]) == pytest.approx(float(losses[1]["ce_change"]), rel=0.3)


def test_the_best_weights_are_those_of_the_highest_sek_and_can_be_loaded(whole: Path) -> None:
    with (whole / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [3, 6, 8]
    assert {row["protocol"] for row in rows} == {"per-date"}
    best = max(rows, key=lambda row: float(row["sek"] or "-inf"))
    loaded = load_weights(whole / "best.safetensors")
    assert f"after {best['iteration']} iterations" in loaded.info.trained
    assert f"SeK (per-date) {float(best['sek']):.4f}" in loaded.info.trained
    assert loaded.info.tile == 32
    assert loaded.info.classes.name == "second"


def test_one_step_that_is_not_finite_changes_nothing_and_is_counted(
    model: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, {2})
    run(tiny(*model, "train.iterations=3", "output.log_every=1"), tmp_path / "run")
    with (tmp_path / "run" / "losses.csv").open() as file:
        assert [row["skipped"] for row in csv.DictReader(file)] == ["0", "1", "0"]
    tensors, _ = Checkpoints(tmp_path / "run" / "state").load()
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point())


def test_three_steps_in_a_row_that_are_not_finite_stop_the_run_in_the_state_before_them(
    config: RunConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        _break(patch, {5, 6, 7})
        with pytest.raises(ComputeError, match=r"on train-\d, train-\d.* after iteration 4 .*--resume") as caught:
            run(config, folder)
    assert caught.value.exit_code == 6
    assert Checkpoints(folder / "state").load()[1]["iteration"] == 4
    run(config, folder, resume=True)
    assert left_by(folder) == left_by(whole)


def test_steps_that_are_not_finite_but_not_in_a_row_do_not_stop_a_run(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, {2, 3, 5, 6})
    assert run(config, tmp_path / "run").iteration == 8


def _break(monkeypatch: pytest.MonkeyPatch, iterations: set[int]) -> None:
    """Make the forward pass of some iterations, counted from 1, end in what is not a number."""
    calls = iter(range(1, 1000))

    def broken(*arguments: object) -> LossTerms:
        terms = change_loss(*arguments)  # type: ignore[arg-type]
        factor = torch.tensor(float("nan") if next(calls) in iterations else 1.0)
        return LossTerms(*(term * factor for term in terms))

    monkeypatch.setattr(step, "change_loss", broken)


def test_too_little_memory_is_answered_with_what_to_change(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> LossTerms:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "change_loss", full)
    with pytest.raises(ComputeError, match=r"train\.accumulate=2 .*or --set train\.batch=1") as caught:
        run(config, tmp_path / "run")
    assert caught.value.exit_code == 6


def test_a_state_that_was_cut_short_is_refused_in_one_line(config: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(config, folder, stop=after(1))
    (tensors,) = (folder / "state").glob("*.safetensors")
    for damage in (lambda: tensors.write_bytes(tensors.read_bytes()[:-100]), tensors.unlink):
        damage()
        with pytest.raises(InputError, match=r"state of this run (is damaged|cannot be read)") as caught:
            run(config, folder, resume=True)
        assert "\n" not in str(caught.value)


def test_a_last_state_that_was_damaged_since_gives_way_to_the_one_before(
    config: RunConfig, whole: Path, tmp_path: Path
) -> None:
    folder, listener = tmp_path / "run", Silence()
    run(config, folder, stop=after(5))
    last = max((folder / "state").glob("*.safetensors"))
    content = last.read_bytes()
    last.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    train(config, folder, listener, never, resume=True)
    assert any("going on from the state before it, after iteration 4" in note for note in listener.notes)
    assert left_by(folder) == left_by(whole)


def test_a_run_is_not_written_over_another(config: RunConfig, whole: Path) -> None:
    with pytest.raises(OutputError, match="--resume"):
        run(config, whole)


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        run(tiny(), tmp_path)


def test_a_crop_larger_than_the_images_is_refused_with_the_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = sets.sets_of(tiny())
    monkeypatch.setitem(sets.DATASETS, "synthetic", lambda _config: small)
    with pytest.raises(InputError, match=r"32 x 32 pixels, fewer than the crop of 64: say --set data\.crop=32"):
        run(tiny("data.crop=64"), tmp_path / "run")


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--set train\.batch=6"):
        run(tiny("train.batch=7", "train.accumulate=3"), tmp_path / "run")


def test_a_finished_run_that_is_resumed_stays_as_it_is(config: RunConfig, whole: Path) -> None:
    before = left_by(whole)
    assert run(config, whole, resume=True).iteration == 8
    assert left_by(whole) == before


def test_tensorboard_is_given_losses_numbers_and_pictures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tiny("output.tensorboard=true", "train.iterations=2"), tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "events"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"train/total", "train/sek", "train/lr", "validation_per-date/sek", "speed/share_waiting_for_data"} <= set(
        scalars
    )
    (picture,) = events.Images("validation/t1_t2_truth1_said1_truth2_said2")
    assert (picture.height, picture.width) == (2 * 32 + 4, 6 * 32 + 5 * 4), (
        "two pairs as the config says, six maps each"
    )
