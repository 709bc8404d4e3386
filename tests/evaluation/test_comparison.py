"""Several models side by side: measured on the same images, by the same draws, beside what was published."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from geofcs.classes import SCHEMES
from geofcs.cli.app import app
from geofcs.errors import InputError, UsageError
from geofcs.evaluation import comparison_tables as tables
from geofcs.evaluation.comparison import (
    Comparison,
    compare_folder,
    compare_scene,
    differences,
    model_names,
    published_for,
)
from geofcs.evaluation.folder import FolderRequest
from geofcs.evaluation.scene import SceneRequest
from geofcs.model.build import build
from geofcs.model.config import ChangeMambaConfig, EncoderConfig, ResNetConfig, SCanNetConfig
from geofcs.model.maps import Maps
from geofcs.model.sizes import pico
from geofcs.model.weights import load_weights, save_weights
from geofcs.synthetic import SceneParameters
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.training.losses import Labels
from geofcs.training.metrics import ChangeMetrics
from geofcs.training.quality import Quality
from tests.evaluation.conftest import OTHER_ORDER
from tests.stubs import Silent

Weights = Callable[[str], Path]


@pytest.fixture(scope="module")
def three(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, one of another architecture, and a copy of the first."""
    folder = tmp_path_factory.mktemp("three")
    paths = [folder / f"{name}.safetensors" for name in ("small", "other", "again")]
    shutil.copy(weights("second"), paths[0])
    config = ChangeMambaConfig(EncoderConfig(8, (1, 1, 1, 1)), classes=7, decoder_width=16)
    save_weights(paths[1], build(config, 1), config, SCHEMES["second"], 64, "not at all")
    shutil.copy(paths[0], paths[2])
    return paths


def requests(paths: list[Path], data: Path, **changes: object) -> list[FolderRequest]:
    request = FolderRequest(paths[0], data=data, protocol="both")
    return [replace(request, weights=path, **changes) for path in paths]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def compared(three: list[Path], dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare_folder(requests(three, dataset), Silent(), tmp_path_factory.mktemp("out"), 0)


def test_a_copy_of_a_model_is_no_different_in_any_draw_and_another_model_is(compared: Comparison) -> None:
    for protocol in compared.protocols:
        found = list(differences(compared.qualities(protocol)))
        assert len(found) == 3 * 12
        copies = [each for each in found if (each.model, each.than) == ("again", "small")]
        assert {each.value for each in copies} <= {0.0, None}
        assert {each.interval for each in copies} <= {(0.0, 0.0), None}
        assert any(each.value for each in found if each.model == "other")


def quality(seed: int, wrong: float) -> Quality:
    """Of thirty images as hard as each other for every model: in each, a share of its own is got wrong."""
    dice = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (30, 24, 24), generator=dice)
    hard = wrong * torch.rand((30, 1, 1), generator=dice)
    missed = torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed)) < hard
    said = torch.where(missed, (truth + 1) % 5, truth)
    metrics = ChangeMetrics(5, keep_images=True)
    metrics.update(Maps((said > 0).long(), said, said), Labels((truth > 0).long(), truth, truth))
    return metrics.quality()


def test_differences_are_drawn_in_pairs_and_so_surer_than_the_numbers_themselves() -> None:
    two = {"a": quality(1, 0.5), "b": quality(2, 0.48)}
    (sek,) = [each for each in differences(two) if each.number == "sek"]
    assert sek.value == two["b"].sek - two["a"].sek and sek.interval is not None  # type: ignore[operator]
    by_hand = np.percentile(two["b"].draws["sek"] - two["a"].draws["sek"], [2.5, 97.5])
    assert sek.interval == pytest.approx(by_hand)
    alone = two["a"].intervals["sek"]
    assert alone is not None
    assert sek.interval.high - sek.interval.low < 0.4 * (alone.high - alone.low)


def test_parameters_and_speed_stand_beside_the_numbers(compared: Comparison, three: list[Path]) -> None:
    for path, measured in zip(three, compared.models.values(), strict=True):
        assert measured.parameters == sum(each.numel() for each in load_weights(path).model.parameters())
        assert measured.speed is not None and measured.speed > 0 and measured.unit == "pairs/s"
    header, *rows = (line.split() for line in tables.as_text(compared).splitlines()[2:6])
    assert header == ["per-date,", "%", "OA", "F_SCD", "mIoU", "SeK", "parameters", "pairs/s"]
    assert [row[0] for row in rows] == ["small", "other", "again"] and all(row[6] == "M" for row in rows)


def test_the_papers_rows_stand_beneath_the_test_pairs_of_the_dataset_it_names_by_its_protocol(
    compared: Comparison,
) -> None:
    assert not compared.published and not compared.notes
    request = FolderRequest(Path("x"), dataset="second", protocol="both")
    named = replace(compared, published=published_for(request))
    table = tables.paper_table(named, "per-date")
    assert table.rows[-1] == ["Mamba-FCS, published", "88.62", "65.78", "74.07", "25.50", "", ""]
    assert table.published == 3 and not tables.paper_table(named, "from-to").published
    for change in ({"protocol": "from-to"}, {"split": "val"}, {"classes": "binary"}, {"dataset": None}):
        assert not published_for(replace(request, **change)), change
    assert [row.sek for row in published_for(replace(request, dataset="landsat"))] == [0.5263, 0.5366, 0.6026]


def test_models_of_other_classes_are_refused_in_one_line_unless_change_alone_is_compared(
    weights: Weights, dataset: Path, tmp_path: Path
) -> None:
    paths = [weights("second"), weights("landsat")]
    with pytest.raises(
        InputError, match=r"second.safetensors knows .*landsat.safetensors .*--classes binary"
    ) as caught:
        compare_folder(requests(paths, dataset), Silent(), tmp_path, 0)
    assert "\n" not in str(caught.value)
    found = compare_folder(requests(paths, dataset, classes="binary"), Silent(), tmp_path, 0)
    assert found.protocols == ("binary",)
    assert "F1 of change" in tables.as_text(found) and "SeK" not in tables.as_text(found)


def test_a_model_of_any_architecture_that_numbers_the_same_classes_otherwise_is_compared(
    weights: Weights, dataset: Path, tmp_path: Path
) -> None:
    config = SCanNetConfig(ResNetConfig(8, (1, 1, 1, 1)), classes=7, compare_depth=1, depth=1)
    save_weights(tmp_path / "scannet.safetensors", build(config, 4), config, OTHER_ORDER, 64, "not at all")
    found = compare_folder(
        requests([weights("second"), tmp_path / "scannet.safetensors"], dataset), Silent(), tmp_path, 0
    )
    assert list(found.models) == ["second", "scannet"] and found.scheme == SCHEMES["second"]


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    paths = [Path(each) for each in ("a/run/best.safetensors", "b/run/best.safetensors", "x/y/best.safetensors")]
    assert model_names(paths) == ["a_run_best", "b_run_best", "x_y_best"]
    assert model_names([Path("a.safetensors"), Path("b.safetensors")]) == ["a", "b"]
    with pytest.raises(UsageError, match="named twice"):
        model_names([Path("a.safetensors"), Path("a.safetensors")])


@pytest.fixture(scope="module")
def written(three: list[Path], dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "out"
    named = [word for path in three[:2] for word in ("--weights", str(path))]
    command = ["eval", *named, "--dataset", "second", "--data", str(dataset), "--panels", "1"]
    result = CliRunner().invoke(app, [*command, "-o", str(out), "-q"])
    assert result.exit_code == 0, result.exception
    assert result.output == (out / "comparison.txt").read_text()
    return out


def test_each_model_has_its_own_report_beside_the_comparison(written: Path) -> None:
    kinds = ("txt", "md", "csv", "json", "png")
    assert {path.name for path in written.iterdir()} == {
        "small", "other", *(f"comparison.{kind}" for kind in kinds),
    }  # fmt: skip
    for name in ("small", "other"):
        assert {"metrics.json", "confusion_per-date.png", "panels"} <= {
            path.name for path in (written / name).iterdir()
        }
    with Image.open(written / "comparison.png") as image:
        assert min(image.size) > 700


def test_all_tables_of_a_comparison_agree(written: Path) -> None:
    content = json.loads((written / "comparison.json").read_text())
    rows = list(csv.DictReader((written / "comparison.csv").read_text().splitlines()))
    markdown = (written / "comparison.md").read_text()
    (each,) = [each for each in content["differences"]["per-date"] if each["number"] == "miou"]
    (row,) = [row for row in rows if (row["kind"], row["number"]) == ("difference", "mIoU")]
    low, high = each["interval_95"]
    assert (row["model"], row["than"]) == (each["model"], each["than"]) == ("other", "small")
    assert [float(row[key]) for key in ("value", "low", "high")] == pytest.approx([each["value"], low, high], abs=1e-6)
    said = f"{100 * each['value']:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
    assert said in markdown and said in (written / "comparison.txt").read_text()
    numbers = json.loads((written / "other" / "metrics.json").read_text())["protocols"]["per-date"]["numbers"]
    assert content["models"]["other"]["protocols"]["per-date"]["numbers"] == numbers
    published = [row for row in rows if row["kind"] == "published"]
    assert len(published) == 12 and published[-1]["value"] == "0.255000"
    for text in (markdown, (written / "comparison.txt").read_text()):
        assert "Mamba-FCS, published" in text and "doi 10.1109/JSTARS.2026.3663066" in text


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    write_scenes(folder, SceneParameters(seed=3, gsd=2.0), Extent(96, 128))
    return folder


def scene_requests(scene: Path, paths: list[Path], truth: Path) -> list[SceneRequest]:
    return [SceneRequest(str(scene / "t1.tif"), str(scene / "t2.tif"), truth, path) for path in paths]


def test_a_scene_is_compared_too_and_each_models_maps_stay(scene: Path, three: list[Path], tmp_path: Path) -> None:
    found = compare_scene(scene_requests(scene, three[:2], scene / "change.tif"), Silent(), tmp_path, 0)
    assert found.title == "2 models on t1.tif and t2.tif"
    assert [measured.unit for measured in found.models.values()] == ["Mpx/s", "Mpx/s"]
    assert all((tmp_path / name / "maps" / "change.tif").exists() for name in ("small", "other"))


def test_scenes_are_not_cut_into_tiles_of_one_models_size_unasked(
    scene: Path, three: list[Path], tmp_path: Path
) -> None:
    config = pico(7, width=16, depths=(1, 1, 1, 1))
    save_weights(tmp_path / "larger.safetensors", build(config, 1), config, SCHEMES["second"], 96, "not at all")
    both = requests([three[0], tmp_path / "larger.safetensors"], scene, split="train")
    with pytest.raises(InputError, match=r"tiles of 64, 96 pixels.*--tile"):
        compare_folder(both, Silent(), tmp_path, 0)
    found = compare_folder([replace(each, tile=64) for each in both], Silent(), tmp_path, 0)
    assert list(found.models) == ["small", "larger"]


def test_a_truth_that_each_model_would_read_in_its_own_order_is_refused(
    scene: Path, weights: Weights, tmp_path: Path
) -> None:
    import rasterio

    with rasterio.open(scene / "change.tif") as file:
        profile, codes = file.profile, file.read(1)
    with rasterio.open(tmp_path / "bare.tif", "w", **profile) as file:
        file.write(codes, 1)
    both = [weights("second"), weights("other order")]
    with pytest.raises(InputError, match="say its classes with --classes"):
        compare_scene(scene_requests(scene, both, tmp_path / "bare.tif"), Silent(), tmp_path, 0)
    (tmp_path / "again").mkdir()
    named = [replace(each, classes="second") for each in scene_requests(scene, both, tmp_path / "bare.tif")]
    assert compare_scene(named, Silent(), tmp_path / "again", 0).scheme == SCHEMES["second"]
