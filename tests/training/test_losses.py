"""The loss terms: the published numbers where there are any, sane values and gradients where there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geofcs.classes import IGNORE
from geofcs.model.interface import Logits
from geofcs.training.config import read_config, recipe_file
from geofcs.training.losses import Labels, LossTerms, LossWeights, change_loss, lovasz
from geofcs.training.step import loss_weights
from tests.model.conformance import assert_close, case, drawn

CASES = ["loss_second", "loss_landsat", "loss_rare", "loss_all_classes"]
PUBLISHED = LossWeights()
CLASSES = 7


def published_case(name: str) -> tuple[Logits, Labels]:
    numbers = case(name)
    classes, *size = (int(each) for each in numbers["dims"])
    labels = {key: torch.from_numpy(numbers[f"label_{key}"]) for key in ("change", "t1", "t2")}
    logits = {
        key: drawn(f"{name}/{key}", (size[0], count, *size[1:])) + 0.75 * F.one_hot(labels[key], count).movedim(-1, 1)
        for key, count in (("change", 2), ("t1", classes), ("t2", classes))
    }
    return Logits(**{key: each.requires_grad_() for key, each in logits.items()}), Labels(**labels)


def random_case(seed: int = 0, side: int = 8, scale: float = 1.0) -> tuple[Logits, Labels]:
    dice = torch.Generator().manual_seed(seed)
    ids = [torch.randint(1, CLASSES, (2, side, side), generator=dice) for _ in range(2)]
    change = torch.randint(0, 2, (2, side, side), generator=dice)
    logits = [scale * torch.randn((2, count, side, side), generator=dice) for count in (2, CLASSES, CLASSES)]
    return Logits(*(each.requires_grad_() for each in logits)), Labels(change, ids[0] * change, ids[1] * change)


def gradients(logits: Logits, terms: LossTerms) -> list[Tensor]:
    return list(torch.autograd.grad(terms.total, [each for each in logits if each is not None]))


def assert_finite(logits: Logits, labels: Labels, weights: LossWeights = PUBLISHED) -> LossTerms:
    terms = change_loss(logits, labels, weights)
    assert all(term.isfinite() and term.ndim == 0 for term in terms)
    assert all(each.isfinite().all() for each in gradients(logits, terms))
    return terms


def test_heads_without_any_term_have_a_gradient_of_zero_which_other_processes_wait_for() -> None:
    logits, labels = random_case()
    change_alone = replace(PUBLISHED, ce_cover=0, lovasz_cover=0, similarity=0, sek=0)
    change, *covers = gradients(logits, change_loss(logits, labels, change_alone))
    assert change.any() and not any(each.any() for each in covers)
    nothing = replace(change_alone, ce_change=0, lovasz_change=0)
    assert not any(each.any() for each in gradients(logits, change_loss(logits, labels, nothing)))


@pytest.mark.parametrize("name", CASES)
def test_terms_and_gradients_are_the_published_ones(name: str) -> None:
    logits, labels = published_case(name)
    terms, numbers = change_loss(logits, labels, PUBLISHED), case(name)
    for term in set(LossTerms._fields) - {"bce_change", "consistency"}:
        assert_close(getattr(terms, term), numbers[term], 1e-4)
    for key, gradient in zip(Logits._fields, gradients(logits, terms), strict=True):
        assert_close(gradient, numbers[f"grad_{key}"], 1e-6)


@pytest.mark.parametrize("name", ["second", "landsat", "rare"])
def test_with_the_weights_of_its_recipe_changemambas_loss_is_the_published_one(name: str) -> None:
    weights = loss_weights(read_config(recipe_file("second", None, "changemamba")).loss, 0)
    logits, labels = published_case(f"loss_changemamba_{name}")
    terms, numbers = change_loss(logits, labels, weights), case(f"loss_changemamba_{name}")
    published = [term for term in LossTerms._fields if term in numbers]
    assert len(published) == 8
    for term in published:
        assert_close(getattr(terms, term), numbers[term], 1e-4)
    for key, gradient in zip(Logits._fields, gradients(logits, terms), strict=True):
        assert_close(gradient, numbers[f"grad_{key}"], 1e-6)


@pytest.mark.parametrize("changed", [0, 1])
def test_changemambas_loss_is_finite_where_the_published_one_has_no_or_one_changed_pixel(changed: int) -> None:
    weights = loss_weights(read_config(recipe_file("second", None, "changemamba")).loss, 0)
    logits, labels = random_case()
    change = torch.zeros_like(labels.change)
    change.view(-1)[:changed] = 1
    terms = assert_finite(logits, Labels(change, 3 * change, 4 * change), weights)
    assert (terms.ce_t1 > 0) == (terms.lovasz_t2 > 0) == bool(changed)


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    terms = change_loss(*random_case(), LossWeights(2, 3, 5, 7, 11, 13))
    expected = (
        2 * terms.ce_change + 3 * (terms.ce_t1 + terms.ce_t2) + 5 * terms.lovasz_change
        + 7 * (terms.lovasz_t1 + terms.lovasz_t2) + 11 * terms.similarity + 13 * terms.sek
    )  # fmt: skip
    torch.testing.assert_close(terms.total, expected)


@pytest.mark.parametrize("change", [0, 1, IGNORE])
@pytest.mark.parametrize("ids", [0, 3, IGNORE])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_every_term_is_finite_where_labels_are_all_alike(change: int, ids: int, scale: float) -> None:
    logits, labels = random_case(scale=scale)
    labels = Labels(torch.full_like(labels.change, change), *(torch.full_like(labels.change, ids) for _ in range(2)))
    assert_finite(logits, labels)
    assert_finite(logits, labels, replace(PUBLISHED, absent_classes=False))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 10.0, 1e3]), st.sampled_from([1, 2, 7]), st.booleans())
def test_every_term_is_finite_on_random_batches(seed: int, scale: float, side: int, absent: bool) -> None:
    logits, labels = random_case(seed, side, scale)
    dice = torch.Generator().manual_seed(seed + 1)
    holes = [
        torch.where(torch.rand(each.shape, generator=dice) < 0.2, IGNORE, each) for each in labels if each is not None
    ]
    assert_finite(logits, Labels(*holes), replace(PUBLISHED, absent_classes=absent))


@pytest.mark.parametrize("margin", [80.0, 95.0, 102.0, 120.0])
def test_gradients_stay_finite_where_no_land_cover_has_any_probability_left(margin: float) -> None:
    logits, labels = random_case()
    assert logits.t1 is not None and logits.t2 is not None
    sure = [torch.cat([each[:, :1] + margin, each[:, 1:]], 1) for each in (logits.t1, logits.t2)]
    assert_finite(Logits(logits.change, sure[0], sure[1]), labels, replace(PUBLISHED, absent_classes=False))


def wrong_everywhere() -> tuple[Logits, Labels]:
    """Classes predicted with some confidence, never the true one: kappa is negative."""
    logits, labels = random_case()
    assert labels.t1 is not None and labels.t2 is not None
    wrong = [F.one_hot(each % (CLASSES - 1) + 1, CLASSES).movedim(-1, 1).float() for each in (labels.t1, labels.t2)]
    return Logits(logits.change, *((4 * each).requires_grad_() for each in wrong)), labels


def test_where_kappa_is_negative_a_step_down_the_gradient_lowers_the_sek_term() -> None:
    only_sek = LossWeights(0, 0, 0, 0, 0, 1, absent_classes=False)
    logits, labels = wrong_everywhere()
    before = assert_finite(logits, labels, only_sek).total
    for _ in range(100):
        assert logits.t1 is not None and logits.t2 is not None
        t1, t2 = torch.autograd.grad(change_loss(logits, labels, only_sek).total, (logits.t1, logits.t2))
        logits = Logits(logits.change, logits.t1 - t1, logits.t2 - t2)
    after = change_loss(logits, labels, only_sek).total
    assert before > 5 > 2 > after


def test_a_batch_without_change_has_no_land_cover_terms_and_still_teaches_change() -> None:
    logits, labels = random_case()
    nothing = torch.zeros_like(labels.change)
    terms = change_loss(logits, Labels(nothing, nothing, nothing), PUBLISHED)
    assert terms.ce_t1 == terms.ce_t2 == terms.lovasz_t1 == terms.lovasz_t2 == terms.sek == 0
    change, t1, _ = gradients(logits, terms)
    assert (change[:, 1] > 0).all()
    assert torch.count_nonzero(t1)  # the similarity term still looks at it


def test_ignored_pixels_count_nowhere() -> None:
    logits, labels = random_case()
    kept = slice(None), slice(0, 5)
    cut = Logits(*(each[:, :, :5].detach().requires_grad_() for each in logits if each is not None))
    hidden = [each.clone() for each in labels if each is not None]
    for each in hidden:
        each[:, 5:] = IGNORE
    whole = change_loss(logits, Labels(*hidden), PUBLISHED)
    part = change_loss(cut, Labels(*(each[kept] for each in labels if each is not None)), PUBLISHED)
    for term in ("ce_change", "ce_t1", "ce_t2", "lovasz_change", "lovasz_t1", "lovasz_t2", "sek"):
        torch.testing.assert_close(getattr(whole, term), getattr(part, term))
    torch.testing.assert_close(whole.similarity * 8 / 5, part.similarity)


def test_a_changed_pixel_without_a_class_is_left_out_at_that_date_only() -> None:
    logits, labels = random_case()
    assert labels.t1 is not None
    place = tuple(torch.nonzero(labels.change)[0])
    holed = labels.t1.clone()
    holed[place] = 0
    ignored = labels.t1.clone()
    ignored[place] = IGNORE
    weights = replace(PUBLISHED, similarity=0)
    torch.testing.assert_close(
        change_loss(logits, labels._replace(t1=holed), weights).total,
        change_loss(logits, labels._replace(t1=ignored), weights).total,
    )


def test_absent_classes_flatten_the_sek_term_unless_they_are_left_out() -> None:
    logits, labels = published_case("loss_rare")
    published = change_loss(logits, labels, PUBLISHED).sek
    without = change_loss(logits, labels, replace(PUBLISHED, absent_classes=False)).sek
    assert without < published - 3


def test_one_sigmoid_channel_and_its_two_softmax_channels_give_the_same_loss() -> None:
    logits, labels = random_case()
    margin = logits.change[:, 1:] - logits.change[:, :1]
    torch.testing.assert_close(
        change_loss(logits._replace(change=margin), labels, PUBLISHED).total,
        change_loss(logits, labels, PUBLISHED).total,
    )


def test_a_binary_model_has_the_change_terms_alone() -> None:
    logits, labels = random_case()
    terms = change_loss(Logits(logits.change, None, None), Labels(labels.change, None, None), PUBLISHED)
    torch.testing.assert_close(terms.total, terms.ce_change + 0.5 * terms.lovasz_change)
    assert terms.sek == terms.similarity == 0


def test_half_precision_logits_give_a_float32_loss_inside_autocast() -> None:
    logits, labels = random_case()
    half = Logits(*(each.detach().bfloat16() for each in logits if each is not None))
    with torch.autocast("cpu", torch.bfloat16):
        found = change_loss(half, labels, PUBLISHED)
    wanted = change_loss(Logits(*(each.float() for each in half if each is not None)), labels, PUBLISHED)
    assert all(term.dtype == torch.float32 for term in found)
    torch.testing.assert_close(found.total, wanted.total, rtol=0, atol=0)


def test_lovasz_of_certain_answers_is_one_minus_the_mean_iou() -> None:
    truth, answer = torch.tensor([[[0, 0, 1, 1, 1, 2]]]), torch.tensor([[[0, 1, 1, 1, 2, 2]]])
    found = lovasz(F.one_hot(answer, 4).movedim(-1, 1).double(), truth)
    torch.testing.assert_close(found, torch.tensor(1 - (1 / 2 + 2 / 4 + 1 / 2) / 3, dtype=torch.float64))
