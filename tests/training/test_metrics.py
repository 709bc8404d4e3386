"""The metrics: the published numbers, both protocols, and what happens where nothing can be said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geofcs.classes import IGNORE
from geofcs.errors import InputError
from geofcs.model.interface import Logits
from geofcs.model.maps import Maps, maps_of
from geofcs.training.losses import Labels
from geofcs.training.metrics import ChangeMetrics
from geofcs.training.quality import (
    FROM_TO,
    FROM_TO_PUBLISHED,
    PER_DATE,
    Quality,
    drawn_numbers,
    interval_of,
    numbers_of,
)
from tests.model.conformance import case

NUMBERS = ("f_scd", "miou", "sek", "oa")


def arrays(name: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in case(name).items()}


def labels_of(numbers: dict[str, Tensor]) -> Labels:
    t1, t2 = numbers["label_t1"], numbers["label_t2"]
    return Labels(((t1 > 0) | (t2 > 0)).long(), t1, t2)


def measured(maps: Maps, labels: Labels, classes: int, protocol: str = PER_DATE, keep: bool = False) -> Quality:
    metrics = ChangeMetrics(classes, protocol, keep_images=keep)
    metrics.update(maps, labels)
    return metrics.quality()


def random_maps(seed: int, classes: int = 5, batch: int = 6) -> Maps:
    dice = torch.Generator().manual_seed(seed)
    change = (torch.rand((batch, 16, 16), generator=dice) < 0.4).to(torch.uint8)
    ids = [torch.randint(1, classes, change.shape, generator=dice, dtype=torch.uint8) for _ in range(2)]
    return Maps(change, ids[0] * change, ids[1] * change)


def alike(maps: Maps, share: float, seed: int = 9) -> Maps:
    """Maps that agree with others in a share of the pixels."""
    other, dice = random_maps(seed), torch.Generator().manual_seed(seed + 1)
    same = torch.rand(maps.change.shape, generator=dice) < share
    return Maps(*(torch.where(same, a, b) for a, b in zip(maps, other, strict=True) if a is not None and b is not None))


def part(maps: Maps | Labels, where: Any) -> list[Tensor]:
    """A part of each map."""
    return [each[where] for each in maps if each is not None]


@pytest.mark.parametrize("name", ["metric_second", "metric_landsat", "metric_perfect", "metric_zero_inside_change"])
def test_per_date_numbers_are_the_published_ones(name: str) -> None:
    numbers = arrays(name)
    maps = Maps((numbers["pred_t1"] > 0).to(torch.uint8), numbers["pred_t1"], numbers["pred_t2"])
    quality = measured(maps, labels_of(numbers), int(numbers["num_classes"]))
    assert quality.kappa0 == pytest.approx(float(numbers["kappa_n0"]), abs=1e-9)
    for number in NUMBERS:
        assert getattr(quality, number) == pytest.approx(float(numbers[number]), abs=1e-9), number


@pytest.mark.parametrize("name", ["metric_second", "metric_landsat"])
def test_from_to_numbers_of_the_same_maps_are_the_published_ones(name: str) -> None:
    numbers = arrays(name)
    maps = Maps((numbers["pred_t1"] > 0).to(torch.uint8), numbers["pred_t1"], numbers["pred_t2"])
    quality = measured(maps, labels_of(numbers), int(numbers["num_classes"]), FROM_TO)
    assert quality.kappa0 == pytest.approx(float(numbers["from_to_kappa0"]), abs=1e-9)
    for number in NUMBERS:
        assert getattr(quality, number) == pytest.approx(float(numbers[f"from_to_{number}"]), abs=1e-9), number


FROM_TO_CASES = [
    *((name, FROM_TO) for name in ("metric_fromto_second", "metric_fromto_landsat", "metric_fromto_perfect")),
    ("metric_fromto_second", FROM_TO_PUBLISHED),
    ("metric_fromto_alias", FROM_TO_PUBLISHED),
]


@pytest.mark.parametrize(("name", "protocol"), FROM_TO_CASES)
def test_from_to_numbers_of_changemamba_are_the_published_ones(name: str, protocol: str) -> None:
    numbers = arrays(name)
    change = numbers["pred_change"]
    maps = Maps(change, numbers["pred_t1"] * change, numbers["pred_t2"] * change)
    labels = Labels(numbers["label_change"], numbers["label_t1"], numbers["label_t2"])
    quality = measured(maps, labels, int(numbers["num_classes"]), protocol)
    assert quality.kappa0 == pytest.approx(float(numbers["kappa_n0"]), abs=1e-9)
    for number in NUMBERS:
        assert getattr(quality, number) == pytest.approx(float(numbers[number]), abs=1e-9), number


def test_a_zero_called_at_t2_is_another_transition_only_where_counted_as_published() -> None:
    one = torch.tensor([[[1]]])
    maps, labels = Maps(one, one + 1, 0 * one), Labels(one, one + 1, one)
    ours, published = (measured(maps, labels, 7, protocol).matrix for protocol in (FROM_TO, FROM_TO_PUBLISHED))
    truth = 1 + 1 * 6 + 0  # from 2 to 1
    assert ours[0, truth] == published[6, truth] == 1  # 6 is from 1 to 6


def test_a_zero_called_at_t1_has_no_published_number_unless_it_is_no_change() -> None:
    one = torch.tensor([[[1]]])
    labels = Labels(one, one, one)
    with pytest.raises(InputError, match=r"1 changed pixels are called class 0 at T1.*use the protocol from-to$"):
        measured(Maps(one, 0 * one, one), labels, 7, FROM_TO_PUBLISHED)
    assert measured(Maps(one, 0 * one, 6 * one), labels, 7, FROM_TO_PUBLISHED).matrix[0, 1] == 1


def test_maps_from_logits_are_the_published_ones() -> None:
    numbers = arrays("metric_zero_inside_change")
    logits = Logits(numbers["logits_change"], numbers["logits_t1"], numbers["logits_t2"])
    maps = maps_of(logits)
    assert maps.t1 is not None and maps.t2 is not None
    assert torch.equal(maps.t1, numbers["pred_t1"]) and torch.equal(maps.t2, numbers["pred_t2"])
    assert ((maps.change == 1) & ((maps.t1 == 0) != (maps.t2 == 0))).sum() == 418


def test_consistent_maps_have_a_class_exactly_where_something_changed() -> None:
    numbers = arrays("metric_zero_inside_change")
    maps = maps_of(Logits(numbers["logits_change"], numbers["logits_t1"], numbers["logits_t2"]), "consistent")
    for date in (maps.t1, maps.t2):
        assert date is not None and torch.equal(date > 0, maps.change == 1)


def test_one_sigmoid_channel_says_changed_above_zero() -> None:
    logits = torch.tensor([[[[-1.0, 0.0, 1e-6]]]])
    assert maps_of(Logits(logits, None, None)).change.tolist() == [[[0, 0, 1]]]


@pytest.mark.parametrize("protocol", [PER_DATE, FROM_TO])
def test_batches_in_any_order_and_split_give_the_same_numbers(protocol: str) -> None:
    maps, labels = alike(random_maps(0), 0.7), Labels(*random_maps(0))
    whole = measured(maps, labels, 5, protocol)
    parts = ChangeMetrics(5, protocol)
    for image in (4, 1, 5, 0, 3, 2):
        one = slice(image, image + 1)
        parts.update(Maps(*part(maps, one)), Labels(*part(labels, one)))
    assert parts.quality().numbers == pytest.approx(whole.numbers)
    assert np.array_equal(parts.quality().matrix, whole.matrix)


@pytest.mark.parametrize("protocol", [PER_DATE, FROM_TO])
def test_ignored_pixels_count_nowhere(protocol: str) -> None:
    maps, labels = alike(random_maps(0), 0.7), part(random_maps(0), slice(None))
    for each in labels:
        each[:, 10:] = IGNORE
    cut = slice(None), slice(0, 10)
    found = measured(maps, Labels(*labels), 5, protocol)
    wanted = measured(Maps(*part(maps, cut)), Labels(*part(Labels(*labels), cut)), 5, protocol)
    assert found.numbers == wanted.numbers and np.array_equal(found.matrix, wanted.matrix)


def test_an_image_that_is_ignored_altogether_is_no_image() -> None:
    maps, labels = random_maps(0), part(random_maps(0), slice(None))
    for each in labels:
        each[0] = IGNORE
    quality = measured(maps, Labels(*labels), 5, keep=True)
    assert quality.images == 5 and quality.oa == 1


def test_where_nothing_changed_and_nothing_is_predicted_most_numbers_are_not_available() -> None:
    nothing = torch.zeros((2, 8, 8), dtype=torch.uint8)
    quality = measured(Maps(nothing, nothing, nothing), Labels(nothing, nothing, nothing), 5, keep=True)
    assert quality.oa == quality.oa_pooled == quality.iou_unchanged == 1
    for name in ("f_scd", "miou", "sek", "kappa0", "kappa", "iou_changed", "precision", "recall", "f1"):
        assert getattr(quality, name) is None, name
        assert quality.intervals[name] is None


def test_calling_everything_unchanged_has_no_precision_and_a_sek_of_zero() -> None:
    truth = random_maps(0)
    nothing = torch.zeros_like(truth.change)
    quality = measured(Maps(nothing, nothing, nothing), Labels(*truth), 5)
    assert (quality.precision, quality.recall, quality.f_scd, quality.sek) == (None, 0, None, 0)


def test_a_changed_pixel_without_a_class_at_one_date_has_no_code_and_is_counted() -> None:
    change = torch.ones((1, 1, 3), dtype=torch.uint8)
    t1, t2 = torch.tensor([[[1, 0, 2]]]), torch.tensor([[[2, 2, 0]]])
    quality = measured(Maps(change, change, 2 * change), Labels(change, t1, t2), 5, FROM_TO)
    assert (quality.undefined, quality.pixels, quality.oa) == (2, 1, 1)


def test_classes_have_iou_and_f1_of_their_own_row_and_column() -> None:
    change = torch.ones((1, 1, 4), dtype=torch.uint8)
    said, truth = torch.tensor([[[1, 1, 2, 2]]]), torch.tensor([[[1, 1, 1, 2]]])
    quality = measured(Maps(change, said, said), Labels(change, truth, truth), 4)
    one, three = quality.classes[1], quality.classes[3]
    assert (one.iou, one.f1, one.true_pixels, one.predicted_pixels) == (2 / 3, 0.8, 6, 4)
    assert (three.iou, three.f1) == (None, None)


def test_binary_maps_have_the_numbers_of_two_classes() -> None:
    change, truth = torch.tensor([[[1, 1, 0, 0, 0]]]), torch.tensor([[[1, 0, 1, 0, 255]]])
    quality = measured(Maps(change, None, None), Labels(truth, None, None), 1)
    assert quality.protocol == "binary" and "sek" not in quality.numbers
    assert (quality.precision, quality.recall, quality.f1, quality.iou_changed, quality.kappa) == (
        0.5,
        0.5,
        0.5,
        1 / 3,
        0,
    )


def test_a_value_beyond_the_classes_is_refused() -> None:
    maps = random_maps(0, classes=7)
    with pytest.raises(InputError, match="the model's classes end at 4"):
        measured(maps, Labels(*maps), 5)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match="per-date, from-to"):
        ChangeMetrics(5, "perdate")


def test_intervals_hold_the_number_and_narrow_with_more_images() -> None:
    dice = np.random.default_rng(0)
    matrices = dice.integers(1, 50, (400, 3, 3)) + 200 * np.eye(3, dtype=int) * dice.integers(1, 5, (400, 1, 1))
    oa = np.trace(matrices, axis1=1, axis2=2) / matrices.sum((1, 2))
    wide, narrow = (interval_of(drawn_numbers(*part)["sek"]) for part in ((matrices[:20], oa[:20]), (matrices, oa)))
    assert wide is not None and narrow is not None
    assert narrow.low < numbers_of(matrices.sum(0))["sek"] < narrow.high
    assert math.isclose((wide.high - wide.low) / (narrow.high - narrow.low), math.sqrt(20), rel_tol=0.5)


def test_intervals_are_the_same_for_the_same_seed_and_absent_for_one_image() -> None:
    maps = alike(random_maps(0), 0.7)
    first, second = (measured(maps, Labels(*random_maps(0)), 5, keep=True).intervals for _ in range(2))
    assert first == second and first.keys() == measured(maps, Labels(*random_maps(0)), 5).numbers.keys()
    one = part(maps, slice(0, 1))
    single = measured(Maps(*one), Labels(*one), 5, keep=True)
    assert not single.intervals
