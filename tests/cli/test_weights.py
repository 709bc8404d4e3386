"""`geofcs weights`: from a published checkpoint to a weights file, and what the terminal says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from geofcs.classes import LANDSAT, SECOND
from geofcs.cli import main
from geofcs.lock import locked
from geofcs.model.build import build
from geofcs.model.names import published_name, published_shapes
from geofcs.model.sizes import pico
from geofcs.model.weights import load_weights, save_encoder, save_weights

SMALL = pico(classes=LANDSAT.count, width=8, depths=(1, 1, 1, 1))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `geofcs weights ...`."""
    monkeypatch.setattr("sys.argv", ["geofcs", "weights", *map(str, arguments)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as leaving:
        main()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small Mamba-FCS for Landsat-SCD's classes, as its authors would have stored it."""
    path = tmp_path / "published.pth"
    model = build(SMALL, seed=0)
    tensors = {
        published_name(name, model.config.architecture): tensor.reshape(published_shapes(name, tuple(tensor.shape))[0])
        for name, tensor in model.state_dict().items()
    }
    torch.save(tensors, path)
    return path


def test_import_writes_a_file_that_loads_and_says_what_it_is(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_name("x.safetensors")
    assert run(monkeypatch, "import", checkpoint, "--classes", "landsat", "-o", out, "--half") == 0
    said = capsys.readouterr().out
    assert load_weights(out).info.sha256 in said
    assert "mamba-fcs" in said
    assert "width 8, depths 1, 1, 1, 1" in said
    assert "farmland (0, 155, 0)" in said
    assert "416 pixels" in said


def test_an_existing_output_is_kept_unless_told_otherwise(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_name("x.safetensors")
    out.write_text("precious")
    assert run(monkeypatch, "import", checkpoint, "--classes", "landsat", "-o", out) == 5
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run(monkeypatch, "import", checkpoint, "--classes", "landsat", "-o", out, "--overwrite") == 0
    assert load_weights(out).info.classes == LANDSAT
    assert run(monkeypatch, "import", checkpoint, "--classes", "landsat", "-o", checkpoint, "--overwrite") == 5


def test_an_output_that_another_process_writes_is_left_to_it(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_name("x.safetensors")
    with locked(out):
        for command in ("import", "export"):
            assert run(monkeypatch, command, checkpoint, "-o", out) == 5
            assert "is writing there: wait for it to end" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--classes", "second"), 3), (("--classes", "mars"), 3)])
def test_classes_that_do_not_fit_are_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    out = checkpoint.with_name("x.safetensors")
    assert run(monkeypatch, "import", checkpoint, *arguments, "-o", out) == code
    assert not out.exists()


def test_show_describes_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = pico(SECOND.count)
    info = save_weights(tmp_path / "pico.safetensors", build(config, 0), config, SECOND, 512, "on [nothing] at all")
    assert run(monkeypatch, "show", tmp_path / "pico.safetensors") == 0
    said = capsys.readouterr().out
    for text in (
        info.sha256,
        "on [nothing] at all",
        "512 pixels",
        "6 ",
        "playground",
        "mean (123.675, 116.28, 103.53)",
    ):
        assert text in said
    assert re.search(r"parameters +5,8\d\d,\d\d\d", said)


def test_show_says_that_an_encoder_is_for_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_encoder(tmp_path / "e.safetensors", build(SMALL, 0).encoder, SMALL.encoder, "by VMamba")
    assert run(monkeypatch, "show", tmp_path / "e.safetensors") == 0
    said = capsys.readouterr().out
    assert "vmamba-encoder" in said
    assert "training starts from it" in said


def test_show_of_something_else_is_one_line_and_exit_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", tmp_path / "none.safetensors") == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_export_gives_a_file_that_import_takes(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, again = checkpoint.with_name("x.safetensors"), checkpoint.with_name("again.pth")
    assert run(monkeypatch, "import", checkpoint, "--classes", "landsat", "-o", ours) == 0
    assert run(monkeypatch, "export", ours, "-o", again) == 0
    assert "mamba-fcs" in capsys.readouterr().out
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, again))
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert run(monkeypatch, "export", ours, "-o", again) != 0
    assert "--overwrite" in capsys.readouterr().err
