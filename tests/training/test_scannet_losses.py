"""SCanNet's loss and its pseudo labels: the published numbers, and sane ones where there are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.classes import IGNORE
from geofcs.model.interface import Logits
from geofcs.training.losses import Labels, LossTerms, LossWeights, change_loss
from geofcs.training.pseudo import Confidence, with_pseudo_labels
from tests.model.conformance import assert_close, case, drawn
from tests.training.test_losses import gradients, random_case

SCANNET = LossWeights(
    ce_change=0, lovasz_change=0, lovasz_cover=0, similarity=0, sek=0, ce_cover=0.5, bce_change=1, consistency=1
)
CASES = ["loss_scannet_second", "loss_scannet_landsat", "loss_scannet_rare"]


def published_case(name: str) -> tuple[Logits, Labels, dict[str, Any]]:
    numbers = case(name)
    classes, batch, *size = (int(each) for each in numbers["dims"])
    t1, t2 = (torch.from_numpy(numbers[f"label_{key}"]) for key in ("t1", "t2"))
    changed = (t1 > 0).long()
    change = drawn(f"{name}/change", (batch, 1, *size)) + 0.75 * changed[:, None]
    covers = [
        drawn(f"{name}/{key}", (batch, classes, *size)) + 0.75 * F.one_hot(labels, classes).movedim(-1, 1)
        for key, labels in (("t1", t1), ("t2", t2))
    ]
    return Logits(*(each.requires_grad_() for each in (change, *covers))), Labels(changed, t1, t2), numbers


@pytest.mark.parametrize("name", CASES)
def test_terms_and_gradients_are_the_published_ones(name: str) -> None:
    logits, labels, numbers = published_case(name)
    terms = change_loss(logits, labels, SCANNET)
    for term in ("ce_t1", "ce_t2", "bce_change", "total"):
        assert_close(getattr(terms, term), numbers[term], 1e-5)
    assert_close(terms.consistency, numbers["similarity"], 1e-5)
    for key, gradient in zip(Logits._fields, gradients(logits, terms), strict=True):
        assert_close(gradient, numbers[f"grad_{key}"], 1e-7)


@pytest.mark.parametrize("name", CASES)
def test_without_a_margin_the_consistency_is_that_of_the_papers_time(name: str) -> None:
    logits, labels, numbers = published_case(name)
    found = change_loss(logits, labels, LossWeights(consistency=1, margin=0))
    assert_close(found.consistency, numbers["similarity_margin0"], 1e-5)


def finite(logits: Logits, labels: Labels) -> LossTerms:
    terms = change_loss(logits, labels, SCANNET)
    assert all(term.isfinite() for term in terms)
    assert all(each.isfinite().all() for each in gradients(logits, terms))
    return terms


@pytest.mark.parametrize("change", [0, 1, IGNORE])
@pytest.mark.parametrize("ids", [0, 3, IGNORE])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_what_the_published_code_leaves_undefined_is_finite(change: int, ids: int, scale: float) -> None:
    logits, labels = random_case(scale=scale)
    one = logits._replace(change=logits.change[:, 1:] - logits.change[:, :1])
    labels = Labels(torch.full_like(labels.change, change), *(torch.full_like(labels.change, ids) for _ in range(2)))
    terms = finite(one, labels)
    if ids in (0, IGNORE):
        assert terms.ce_t1 == terms.ce_t2 == 0
    if change == IGNORE:
        assert terms.bce_change == terms.consistency == 0


def test_a_term_that_counts_nothing_is_not_computed() -> None:
    terms = change_loss(*random_case(), SCANNET)
    assert terms.lovasz_change == terms.lovasz_t1 == terms.sek == terms.similarity == terms.ce_change == 0
    assert terms.bce_change > 0 < terms.consistency


def test_consistency_falls_where_unchanged_covers_become_alike_and_changed_ones_differ() -> None:
    one = 5 * F.one_hot(torch.tensor([[[1, 2]]]), 7).movedim(-1, 1).float()
    other = one.roll(1, 1)
    for change, better, worse in ((0, one, other), (1, other, one)):
        labels = Labels(torch.full((1, 1, 2), change), *[torch.full((1, 1, 2), change)] * 2)
        logits = [Logits(torch.zeros(1, 1, 1, 2), one, second) for second in (better, worse)]
        low, high = (change_loss(each, labels, SCANNET).consistency for each in logits)
        assert low < 0.1 < 0.8 < high


def test_pseudo_labels_and_thresholds_are_the_published_ones_batch_after_batch() -> None:
    name, numbers = "pseudo_scannet_second", case("pseudo_scannet_second")
    classes, *size = (int(each) for each in numbers["dims"])
    shape = (size[0], classes, *size[1:])
    confidence = Confidence.first(classes, torch.device("cpu"))
    for batch in range(3):
        common = drawn(f"{name}/{batch}/common", shape)
        common[:, 6] -= 30 * (batch == 1)
        likely = [(2 * common + 0.5 * drawn(f"{name}/{batch}/{date}", shape)).softmax(1) for date in "ab"]
        t1, t2 = (torch.from_numpy(numbers[f"label_{date}_{batch}"]) for date in ("t1", "t2"))
        labels, confidence = with_pseudo_labels(Labels((t1 > 0).long(), t1, t2), (likely[0], likely[1]), confidence)
        assert torch.equal(known(labels.t1), torch.from_numpy(numbers[f"out_t1_{batch}"]))
        assert torch.equal(known(labels.t2), torch.from_numpy(numbers[f"out_t2_{batch}"]))
        assert_close(confidence.thresholds, numbers[f"thresholds_{batch}"], 1e-6)
        assert_close(confidence.sums / confidence.pixels, numbers[f"raw_thresholds_{batch}"], 1e-6)
    assert confidence.pixels.tolist() == numbers["count_2"].tolist()


def known(labels: Tensor | None) -> Tensor:
    assert labels is not None
    return labels


def sure_of(ids: Tensor, classes: int = 7) -> Tensor:
    return (8 * F.one_hot(ids, classes).movedim(-1, 1).float()).softmax(1)


def test_changed_and_ignored_pixels_keep_their_labels() -> None:
    change = torch.tensor([[[0, 1, IGNORE]]])
    ids = torch.tensor([[[0, 3, IGNORE]]])
    said = sure_of(torch.full((1, 1, 3), 2))
    labels, _ = with_pseudo_labels(Labels(change, ids, ids), (said, said), Confidence.first(7, change.device))
    assert known(labels.t1).tolist() == known(labels.t2).tolist() == [[[2, 3, IGNORE]]]


def test_dates_that_disagree_get_no_label() -> None:
    nothing = torch.zeros(1, 1, 2, dtype=torch.long)
    said = sure_of(torch.tensor([[[2, 3]]])), sure_of(torch.tensor([[[2, 4]]]))
    labels, _ = with_pseudo_labels(Labels(nothing, nothing, nothing), said, Confidence.first(7, nothing.device))
    assert known(labels.t1).tolist() == [[[2, 0]]]
