"""The training loss of every model: terms, each with a weight, finite and with a gradient that points the right way.

The defaults are Mamba-FCS's (its paper, section III-E), in which SCanNet's two terms have no weight. Where published
code is undefined, these terms are not. A term without a pixel to look at is 0. The SeK term has a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from geofcs.classes import IGNORE, NO_CHANGE
from geofcs.model.interface import Logits
from geofcs.training.sek import sek_loss

CHANGED = 1

COSINE_EPSILON = 1e-12

CHANGED_SHARE = 0.25
"""What the mean over changed pixels counts in SCanNet's cross-entropy, that over unchanged ones counting the rest."""


class Labels(NamedTuple):
    """The truth for a batch, each (b, h, w) int64, 255 = ignored.

    `change` is 0 or 1; `t1` and `t2` are class ids, 0 = no change, or None for a binary model. Pseudo labels are ids
    in pixels that did not change.
    """

    change: Tensor
    t1: Tensor | None
    t2: Tensor | None


@dataclass(frozen=True)
class LossWeights:
    """What each term counts in the total; those of a land cover count per date. The defaults are Mamba-FCS's paper's.

    A term that counts nothing is not computed. `margin` is how alike changed land covers may be to `consistency`.

    With `absent_classes` a class without a changed pixel in the batch takes nearly all the weight in the IoU of the SeK
    term, which then hardly changes: as published. Without it such classes are left out.
    """

    ce_change: float = 1.0
    ce_cover: float = 0.5
    lovasz_change: float = 0.5
    lovasz_cover: float = 0.5
    similarity: float = 0.05
    sek: float = 0.5
    absent_classes: bool = True
    bce_change: float = 0.0
    consistency: float = 0.0
    margin: float = 0.1


class LossTerms(NamedTuple):
    """Each term before its weight, and the weighted sum: scalars, all finite; what counts nothing or lacks is 0."""

    ce_change: Tensor
    ce_t1: Tensor
    ce_t2: Tensor
    lovasz_change: Tensor
    lovasz_t1: Tensor
    lovasz_t2: Tensor
    similarity: Tensor
    sek: Tensor
    bce_change: Tensor
    consistency: Tensor
    total: Tensor


def change_loss(logits: Logits, labels: Labels, weights: LossWeights) -> LossTerms:
    """The loss of one batch, in float32 (or float64, if the logits are), whatever autocast says."""
    with torch.autocast(logits.change.device.type, enabled=False):
        change = _at_least_float32(logits.change)
        terms, unheard = _change_terms(change, labels.change, weights), [change]
        if logits.t1 is not None and logits.t2 is not None and labels.t1 is not None and labels.t2 is not None:
            dates = _at_least_float32(logits.t1), _at_least_float32(logits.t2)
            covers = _cover_terms(dates, (labels.t1, labels.t2), labels.change, weights)
            terms, unheard = terms | covers, [change, *(() if covers else dates)]
        zero = _nothing(unheard)
        total = sum((_weight_of(name, weights) * term for name, term in terms.items()), zero)
        return LossTerms(**{name: terms.get(name, zero) for name in LossTerms._fields[:-1]}, total=total)


def _change_terms(logits: Tensor, labels: Tensor, weights: LossWeights) -> dict[str, Tensor]:
    """The terms on change that count."""
    two = _two_channels(logits)
    terms: dict[str, Callable[[], Tensor]] = {
        "ce_change": lambda: cross_entropy(two, labels),
        "lovasz_change": lambda: lovasz(two.softmax(1), labels),
        "bce_change": lambda: balanced_cross_entropy(two[:, 1] - two[:, 0], labels),
    }
    return _counting(terms, weights)


def _cover_terms(
    logits: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor], change: Tensor, weights: LossWeights
) -> dict[str, Tensor]:
    """The terms on land cover that count."""
    scores = logits[0].softmax(1), logits[1].softmax(1)
    covers = _covers_only(labels[0]), _covers_only(labels[1])
    changed = [torch.where(change == CHANGED, cover, IGNORE) for cover in covers]
    terms: dict[str, Callable[[], Tensor]] = {
        "ce_t1": lambda: cross_entropy(logits[0], covers[0]),
        "ce_t2": lambda: cross_entropy(logits[1], covers[1]),
        "lovasz_t1": lambda: lovasz(scores[0], covers[0]),
        "lovasz_t2": lambda: lovasz(scores[1], covers[1]),
        "similarity": lambda: similarity(*scores, labels[0] == NO_CHANGE),
        "sek": lambda: sek_loss(scores, (changed[0], changed[1]), weights.absent_classes),
        "consistency": lambda: consistency(*logits, change, weights.margin),
    }
    return _counting(terms, weights)


def _counting(terms: dict[str, Callable[[], Tensor]], weights: LossWeights) -> dict[str, Tensor]:
    return {name: term() for name, term in terms.items() if _weight_of(name, weights)}


def _weight_of(term: str, weights: LossWeights) -> float:
    """A term's own weight; those of both dates share theirs."""
    weight: float = getattr(weights, term.replace("_t1", "_cover").replace("_t2", "_cover"))
    return weight


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of (b, K, h, w) over the pixels that are not ignored; 0 if all are."""
    count = (labels != IGNORE).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / count


def lovasz(scores: Tensor, labels: Tensor) -> Tensor:
    """Lovasz-Softmax of (b, K, h, w) probabilities over the whole batch, mean over the classes that occur; 0 if none.

    (Berman et al., CVPR 2018, equations 8 and 11.) A class's pixels lie side by side: GPUs add up rows in parallel, and
    columns one by one.
    """
    known = labels != IGNORE
    likely = scores.movedim(1, 0)[:, known]  # (K, n)
    classes = torch.arange(len(likely), device=labels.device)[:, None]
    truth = (labels[known] == classes).to(likely.dtype)
    errors, order = (truth - likely).abs().sort(dim=1, descending=True)
    per_class = (errors * _jaccard_steps(truth.gather(1, order))).sum(1)
    occurs = truth.any(1)
    return (per_class * occurs).sum() / occurs.sum().clamp(min=1)


def _jaccard_steps(truth: Tensor) -> Tensor:
    """How much the Jaccard loss grows with each pixel of (K, n) one-hot truth got wrong, from the first on.

    Written without the difference of two nearly equal losses, which float32 cannot hold for many pixels.
    """
    missed, size = truth.cumsum(1), truth.sum(1, keepdim=True)
    common = size - missed
    union = size + (1 - truth).cumsum(1)
    return torch.where(truth > 0, 1 / union.clamp(min=1), common / (union * (union - 1)).clamp(min=1))


def balanced_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """SCanNet's cross-entropy of change (b, h, w): a quarter of the mean over changed pixels, the rest over unchanged.

    The rarer side counts less, as published. A side without pixels counts 0.
    """
    changed = _mean_where(F.softplus(-logits), labels == CHANGED)
    unchanged = _mean_where(F.softplus(logits), labels == NO_CHANGE)
    return CHANGED_SHARE * changed + (1 - CHANGED_SHARE) * unchanged


def consistency(logits_t1: Tensor, logits_t2: Tensor, change: Tensor, margin: float) -> Tensor:
    """SCanNet's semantic consistency: land covers (b, K, h, w) should be alike where nothing changed, and only there.

    The mean, over pixels that are not ignored, of 1 - cosine where unchanged and of what the cosine exceeds the margin
    by where changed; cosines are of the softmax over the classes 1..K-1 alone.
    """
    one, other = (logits[:, 1:].softmax(1) for logits in (logits_t1, logits_t2))
    squares = (one.square().sum(1) + COSINE_EPSILON) * (other.square().sum(1) + COSINE_EPSILON)
    cosine = (one * other).sum(1) * squares.rsqrt()
    apart = torch.where(change == CHANGED, F.relu(cosine - margin), 1 - cosine)
    return _mean_where(apart, change != IGNORE)


def similarity(scores_t1: Tensor, scores_t2: Tensor, unchanged: Tensor) -> Tensor:
    """How far the dates' probabilities (b, K, h, w) are apart where nothing changed: mean square over all entries."""
    return ((scores_t1 - scores_t2) * unchanged[:, None]).square().mean()


def _two_channels(logits: Tensor) -> Tensor:
    """Change logits (b, 2, h, w), made from one sigmoid logit if that is what there is."""
    return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean over the chosen pixels; 0 if there is none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _covers_only(labels: Tensor) -> Tensor:
    """Labels with "no change" ignored."""
    return torch.where(labels == NO_CHANGE, IGNORE, labels)


def _nothing(logits: Sequence[Tensor]) -> Tensor:
    """A 0 that belongs to the graph, so that a backward pass finds its way to every head, those without terms too."""
    return torch.cat([each.flatten()[:0] for each in logits]).sum()
