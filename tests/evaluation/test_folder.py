"""A model is evaluated on a dataset: by the published maps, in the labels' ids, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError
from geofcs.evaluation import folder as subject
from geofcs.evaluation.classes import common_scheme, in_ids_of
from geofcs.evaluation.folder import FolderRequest, evaluate_folder
from geofcs.evaluation.predict import Predictor
from geofcs.model.flips import FLIPS, mean_over_flips
from geofcs.model.interface import Logits
from geofcs.model.maps import Maps, maps_of
from geofcs.model.weights import load_weights
from geofcs.scoring import ModelSource
from geofcs.training.data.dataset import open_dataset
from geofcs.training.losses import Labels
from geofcs.training.metrics import ChangeMetrics
from tests.evaluation.conftest import OTHER_ORDER
from tests.stubs import Silent
from tests.training.folders import made, second_as_distributed, several, with_ids, with_one_label

Weights = Callable[[str], Path]


class Oracle(Predictor):
    """Knows the truth of every pair by its first image."""

    def __init__(self, weights: Path, device: str, precision: str, tta: str) -> None:
        super().__init__(weights, device, precision, tta)
        self.truth: dict[bytes, tuple[Tensor, Tensor, Tensor]] = {}

    def learn(self, folder: Path) -> None:
        pairs = open_dataset(folder).test
        for index in range(len(pairs)):
            sample = pairs[index]
            self.truth[sample.t1.tobytes()] = (
                torch.from_numpy(sample.change),
                torch.from_numpy(sample.label1),
                torch.from_numpy(sample.label2),
            )

    def maps(self, t1: Tensor, t2: Tensor, scheme: ClassScheme) -> Maps:
        known = [self.truth[image.numpy().tobytes()] for image in t1]
        assert t2.shape == t1.shape
        stacked = (torch.stack(each) for each in zip(*known, strict=True))
        return in_ids_of(Maps(*stacked), SECOND, scheme)


def test_the_numbers_are_those_of_the_published_maps(weights: Weights, dataset: Path) -> None:
    report = evaluate_folder(FolderRequest(weights("second"), data=dataset, protocol="both", batch=2), Silent())
    model, pairs = load_weights(weights("second")).model, open_dataset(dataset).test
    for quality in report.qualities:
        metrics = ChangeMetrics(7, quality.protocol, keep_images=True)
        for index in range(len(pairs)):
            sample = [torch.from_numpy(each)[None] for each in pairs[index][:5]]
            with torch.inference_mode():
                maps = maps_of(model(sample[0].float(), sample[1].float()))
            metrics.update(maps, Labels(*sample[2:]))
        expected = metrics.quality()  # of the model as it is trained; evaluation prepares it, which rounds differently
        assert np.abs(quality.matrix - expected.matrix).sum() <= 0.001 * expected.matrix.sum()
        assert quality.intervals.keys() == expected.intervals.keys() == quality.numbers.keys()
    assert [quality.protocol for quality in report.qualities] == ["per-date", "from-to"]
    assert report.transitions is not None and report.transitions.protocol == "from-to"


def test_an_oracle_scores_one_everywhere(weights: Weights, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle(weights("second"), "cpu", "fp32", "none")
    oracle.learn(dataset)
    monkeypatch.setattr(subject, "Predictor", lambda *_: oracle)
    report = evaluate_folder(FolderRequest(weights("second"), data=dataset, protocol="both"), Silent())
    for quality in report.qualities:
        assert set(quality.numbers.values()) == {1.0}


def test_batches_change_nothing(weights: Weights, dataset: Path) -> None:
    request = FolderRequest(weights("second"), data=dataset)
    one, three = (evaluate_folder(replace(request, batch=size), Silent()).qualities[0] for size in (1, 3))
    assert np.abs(one.matrix - three.matrix).sum() <= 0.001 * one.matrix.sum()  # rounding may differ with the batch


def test_pairs_of_different_sizes_go_into_batches_of_their_own(weights: Weights, tmp_path: Path) -> None:
    second_as_distributed(tmp_path / "test", [("a", made(0)), ("b", made(1, side=64)), ("c", made(2, side=64))])
    report = evaluate_folder(FolderRequest(weights("second"), data=tmp_path, batch=3), Silent())
    assert report.qualities[0].images == 3 and report.qualities[0].pixels == 2 * (48**2 + 2 * 64**2)


def test_flips_average_the_probabilities_of_the_four_flips(weights: Weights) -> None:
    model = load_weights(weights("second")).model
    t1, t2 = (255 * torch.rand((1, 3, 48, 40), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with torch.inference_mode():
        found = mean_over_flips(model, t1, t2)
        turned = mean_over_flips(model, t1.flip(-1), t2.flip(-1))
        views = [model(t1.flip(axes), t2.flip(axes)).t1.softmax(1).flip(axes) for axes in ((), (-1,), (-2,), (-1, -2))]
    assert found.t1 is not None
    torch.testing.assert_close(found.t1.exp(), torch.stack(views).mean(0))
    torch.testing.assert_close(turned.change.flip(-1), found.change, rtol=1e-3, atol=1e-4)


def test_a_sigmoid_logit_becomes_two_channels_under_flips() -> None:
    logits = torch.tensor([[[[2.0, -1.0]]]])
    found = mean_over_flips(lambda t1, _: Logits(logits + 0 * t1[:, :1], None, None), torch.zeros((1, 3, 1, 2)), logits)
    assert found.change.shape == (1, 2, 1, 2) and found.t1 is None
    torch.testing.assert_close(found.change.exp().sum(1), torch.ones((1, 1, 2)))


def test_ids_in_another_order_are_brought_into_that_of_the_labels() -> None:
    ids = torch.tensor([[[0, 1, 2, 3, 4, 5, 6]]], dtype=torch.uint8)
    maps = in_ids_of(Maps(ids.clamp(max=1), ids, ids), OTHER_ORDER, SECOND)
    assert maps.t1 is not None
    assert maps.t1.tolist() == [[[0, 4, 2, 1, 3, 5, 6]]]
    assert common_scheme(OTHER_ORDER, SECOND) == SECOND


def test_weights_of_other_classes_are_refused_unless_change_alone_is_compared(weights: Weights, dataset: Path) -> None:
    request = FolderRequest(weights("landsat"), data=dataset)
    with pytest.raises(InputError, match="--classes binary"):
        evaluate_folder(request, Silent())
    report = evaluate_folder(replace(request, classes="binary"), Silent())
    assert report.scheme == BINARY and report.qualities[0].protocol == "binary" and report.transitions is None


@pytest.mark.parametrize("name", ["binary", "second"])
def test_binary_labels_are_compared_in_change_alone(weights: Weights, tmp_path: Path, name: str) -> None:
    with_one_label(tmp_path / "test", several(["a", "b"]), binary=True)
    report = evaluate_folder(FolderRequest(weights(name), data=tmp_path), Silent())
    assert report.qualities[0].protocol == "binary"
    assert {"precision", "recall", "f1", "iou_changed", "kappa"} <= report.qualities[0].numbers.keys()


def test_a_split_that_is_not_there_names_those_that_are(weights: Weights, dataset: Path) -> None:
    request = FolderRequest(weights("second"), data=dataset, split="val")
    with pytest.raises(InputError, match=r"has no val pairs; there are test \(5\)"):
        evaluate_folder(request, Silent())
    with pytest.raises(InputError, match="test"):
        evaluate_folder(replace(request, split="tests"), Silent())


def test_unknown_protocols_and_augmentations_are_refused(weights: Weights, dataset: Path) -> None:
    for request in (
        FolderRequest(weights("second"), data=dataset, protocol="per_date"),
        FolderRequest(weights("second"), data=dataset, tta="flip"),
    ):
        with pytest.raises(InputError, match="is not known; choose one of"):
            evaluate_folder(request, Silent())


def test_a_dataset_without_a_folder_says_how_to_name_it(weights: Weights) -> None:
    with pytest.raises(InputError, match="say with --data where levir lies"):
        evaluate_folder(FolderRequest(weights("binary"), dataset="levir"), Silent())


def test_the_published_protocol_counts_copies_and_what_lies_outside_the_scene(weights: Weights, tmp_path: Path) -> None:
    pair = made(0, LANDSAT)
    t1, t2 = pair.t1.copy(), pair.t2.copy()
    t1[:8], t2[:8] = 255, 255
    with_ids(tmp_path / "test", [("1", pair._replace(t1=t1, t2=t2)), ("1_rotate", pair)])
    request = FolderRequest(weights("landsat"), dataset="landsat", data=tmp_path)
    ours, theirs = (
        evaluate_folder(each, Silent()).qualities[0] for each in (request, replace(request, published=True))
    )
    assert (ours.images, ours.pixels) == (1, 2 * 40 * 48) and (theirs.images, theirs.pixels) == (2, 4 * 48 * 48)


def test_a_scorer_with_flips_gives_the_mean_of_the_flips_scores(weights: Weights) -> None:
    info = load_weights(weights("second")).info
    plain, flipped = (
        ModelSource(weights("second"), info.sha256, "cpu", "fp32", tta).load() for tta in ("none", "flips")
    )
    t1, t2 = (255 * torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    views = [plain(t1.flip(axes), t2.flip(axes)) for axes in FLIPS]
    found = flipped(t1, t2)
    for part, scores in enumerate(found):
        turned = [each.flip(axes) for view, axes in zip(views, FLIPS, strict=True) if (each := view[part]) is not None]
        assert scores is not None
        torch.testing.assert_close(scores, torch.stack(turned).mean(0), rtol=1e-4, atol=1e-5)
