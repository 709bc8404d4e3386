"""What `geofcs eval` writes: tables that agree with each other, matrices, pictures; all of it or nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from geofcs.classes import IGNORE, SECOND
from geofcs.cli.app import app
from geofcs.evaluation.panels import (
    ERRORS,
    FALSE,
    IGNORED,
    MISSED,
    RIGHT,
    UNCHANGED,
    WRONG_CLASS,
    errors_of,
    painted,
    panel_figure,
)  # fmt: skip
from geofcs.model.maps import Maps
from geofcs.training.data import Sample
from tests.training.folders import made

Weights = Callable[[str], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, weights: Weights, dataset: Path) -> Path:
    out = tmp_path_factory.mktemp("out") / "second"
    command = ["eval", "--weights", str(weights("second")), "--dataset", "second", "--data", str(dataset)]
    result = CliRunner().invoke(app, [*command, "--protocol", "both", "--panels", "2", "-o", str(out), "-q"])
    assert result.exit_code == 0, result.output
    assert "SeK" in result.output and "per-date" in result.output
    return out


def test_everything_is_there_and_nothing_else(written: Path) -> None:
    protocols = ("per-date", "from-to")
    assert {path.name for path in written.iterdir()} == {
        "metrics.json", "metrics.csv", "metrics.md", "metrics.png", "panels",
        *(f"confusion_{protocol}.{kind}" for protocol in protocols for kind in ("csv", "png")),
    }  # fmt: skip
    assert [path.name for path in sorted((written / "panels").iterdir())] == ["00000.png", "00002.png"]
    assert [path.name for path in written.parent.iterdir()] == ["second"]


def test_tables_agree_with_each_other(written: Path) -> None:
    content = json.loads((written / "metrics.json").read_text())
    rows = list(csv.DictReader((written / "metrics.csv").read_text().splitlines()))
    text = (written / "metrics.md").read_text()
    for protocol in ("per-date", "from-to"):
        found = content["protocols"][protocol]
        sek, (low, high) = found["numbers"]["sek"], found["intervals_95"]["sek"]
        row = next(row for row in rows if (row["protocol"], row["number"]) == (protocol, "SeK"))
        assert [float(row[key]) for key in ("value", "low", "high")] == pytest.approx([sek, low, high], abs=1e-6)
        assert f"{100 * sek:.2f} [{100 * low:.2f}, {100 * high:.2f}]" in text
    matrix = [row[1:] for row in csv.reader((written / "confusion_per-date.csv").read_text().splitlines())][1:]
    assert np.array_equal(np.array(matrix, int), content["protocols"]["per-date"]["matrix"]["pixels"])
    assert all(row["protocol"] for row in rows)


def test_per_class_and_per_transition_rows_are_named(written: Path) -> None:
    rows = list(csv.DictReader((written / "metrics.csv").read_text().splitlines()))
    assert {"building", "no change"} <= {row["class"] for row in rows if row["protocol"] == "per-date"}
    assert any(" -> " in row["class"] for row in rows if row["protocol"] == "from-to")


def test_a_missing_dataset_is_one_line_and_leaves_nothing(tmp_path: Path, weights: Weights) -> None:
    out = tmp_path / "out"
    command = ["eval", "--weights", str(weights("second")), "--data", str(tmp_path / "none"), "-o", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exception is not None and "there is no such folder" in str(result.exception)
    assert not list(tmp_path.iterdir())


def sample_and_maps() -> tuple[Sample, Maps]:
    change = np.array([[1, 1, 1, 0, 0, IGNORE]], np.uint8)
    label = np.array([[1, 2, 3, 0, 0, 0]], np.uint8)
    image = np.zeros((3, 1, 6), np.uint8)
    said = torch.tensor([[1, 3, 0, 0, 4, 5]], dtype=torch.uint8)
    return Sample(image, image, change, label, label, "x"), Maps((said > 0).to(torch.uint8), said, said)


def test_errors_tell_found_wrong_missed_false_and_ignored_apart() -> None:
    sample, maps = sample_and_maps()
    assert errors_of(sample, maps, SECOND).tolist() == [[RIGHT, WRONG_CLASS, MISSED, UNCHANGED, FALSE, IGNORED]]


def test_maps_are_painted_in_the_published_palette() -> None:
    colours = painted(np.array([[0, 4, 6, IGNORE]]), SECOND)
    assert colours.tolist() == [[[255, 255, 255], [0, 0, 255], [255, 0, 0], [200, 200, 200]]]


def test_a_panel_shows_dates_truth_prediction_errors_and_the_pairs_numbers() -> None:
    pair = made(0)
    sample = Sample(
        pair.t1.transpose(2, 0, 1), pair.t2.transpose(2, 0, 1), (pair.label1 > 0).astype(np.uint8), pair.label1,
        pair.label2, "pair 7",
    )  # fmt: skip
    maps = Maps(*(torch.from_numpy(each) for each in sample[2:5]))
    figure = panel_figure(sample, maps, SECOND)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "T1", "truth at T1", "prediction at T1", "errors", "T2", "truth at T2", "prediction at T2", "",
    ]  # fmt: skip
    said = figure.get_suptitle()
    assert said.startswith("pair 7") and "SeK 100.0" in said and "per-date" in said
    legend = figure.axes[-1].get_legend()
    assert legend is not None
    assert ERRORS[RIGHT][0] in [text.get_text() for text in legend.get_texts()]
    assert np.array_equal(np.asarray(figure.axes[1].images[0].get_array()), painted(sample.label1, SECOND))


def test_pictures_can_be_opened(written: Path) -> None:
    for path in written.rglob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300
