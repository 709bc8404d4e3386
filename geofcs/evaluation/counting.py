"""The matrices that an evaluation counts in, and the report made of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofcs.classes import ClassScheme
from geofcs.errors import InputError
from geofcs.evaluation.report import Report
from geofcs.model.maps import Maps
from geofcs.training.losses import Labels
from geofcs.training.metrics import MOST_CODES, ChangeMetrics
from geofcs.training.quality import FROM_TO, FROM_TO_PUBLISHED, PER_DATE, PROTOCOLS

BOTH = "both"
ALONE = (*PROTOCOLS, FROM_TO_PUBLISHED)

MOST_KEPT_BYTES = 10**9
"""Beyond this, images' own from-to matrices are not kept, and from-to numbers have no intervals."""


def protocols_named(name: str) -> tuple[str, ...]:
    """The protocols that an option stands for; `InputError` for an unknown one."""
    if name == BOTH:
        return PROTOCOLS
    if name not in ALONE:
        raise InputError(f"--protocol {name}: is not known; choose one of {', '.join((*ALONE, BOTH))}")
    return (name,)


def metrics_for(
    scheme: ClassScheme, protocols: tuple[str, ...], images: int, device: torch.device
) -> dict[str, ChangeMetrics]:
    """What is counted: the protocols asked for, and from-to for its transitions where they are not too many."""
    if scheme.is_binary:
        return {PER_DATE: ChangeMetrics(scheme.count, keep_images=True).to(device)}
    codes = len(scheme.transitions) + 1
    wanted = [each for each in ALONE if each in protocols or (each == FROM_TO and codes <= MOST_CODES)]
    fits = 8 * images * codes**2 < MOST_KEPT_BYTES
    kept = {each: each in protocols and (fits or each == PER_DATE) for each in wanted}
    return {each: ChangeMetrics(scheme.count, each, keep_images=kept[each]).to(device) for each in wanted}


def add(metrics: dict[str, ChangeMetrics], maps: Maps, labels: Labels) -> None:
    """Count a batch in every matrix."""
    device = next(iter(metrics.values())).matrix.device
    maps = Maps(maps.change.to(device), _on(maps.t1, device), _on(maps.t2, device))
    labels = Labels(labels.change.to(device), _on(labels.t1, device), _on(labels.t2, device))
    for each in metrics.values():
        each.update(maps, labels)


def report_of(
    metrics: dict[str, ChangeMetrics],
    protocols: tuple[str, ...],
    scheme: ClassScheme,
    title: str,
    about: dict[str, Any],
) -> Report:
    """The numbers counted, in the order of the protocols asked for."""
    found = {name: each.quality() for name, each in metrics.items()}
    names = [PER_DATE] if scheme.is_binary else [each for each in protocols if each in found]
    undefined = max(each.undefined for each in found.values())
    notes = []
    if undefined:
        notes.append(
            f"{undefined} changed pixels have no class at one date or both: they stand for no from-to code and are "
            "left out of that matrix"
        )
    return Report(title, scheme, tuple(found[name] for name in names), found.get(FROM_TO), about, tuple(notes))


def _on(ids: Tensor | None, device: torch.device) -> Tensor | None:
    return None if ids is None else ids.to(device)
