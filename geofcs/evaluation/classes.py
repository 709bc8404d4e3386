"""A model's class ids in those of the labels: orders differ from author to author, names do not."""

from __future__ import annotations

import torch
from torch import Tensor

from geofcs.classes import NO_CHANGE, ClassScheme
from geofcs.errors import InputError
from geofcs.model.maps import Maps


def common_scheme(model: ClassScheme, labels: ClassScheme) -> ClassScheme:
    """What both can be compared in: the labels' classes, or change alone if either knows no more.

    Raises `InputError` where they know different land covers.
    """
    if model.is_binary or labels.is_binary:
        return model if model.is_binary else labels
    if {cover.name for cover in model.land_covers} != {cover.name for cover in labels.land_covers}:
        raise InputError(
            f"the weights tell {_names(model)} apart ({model.name}), the labels {_names(labels)} ({labels.name}): use "
            "weights of these classes, or compare change alone with --classes binary"
        )
    return labels


def in_ids_of(maps: Maps, model: ClassScheme, target: ClassScheme) -> Maps:
    """Maps of a model in the ids of `target`, which has the same land covers or none."""
    if target.is_binary:
        return Maps(maps.change, None, None)
    if maps.t1 is None or maps.t2 is None or model.land_covers == target.land_covers:
        return maps
    ids = {cover.name: number for number, cover in enumerate(target.land_covers, 1)}
    table = torch.tensor([NO_CHANGE, *(ids[cover.name] for cover in model.land_covers)], dtype=torch.uint8)
    return Maps(maps.change, _looked_up(table, maps.t1), _looked_up(table, maps.t2))


def _looked_up(table: Tensor, ids: Tensor) -> Tensor:
    return table.to(ids.device)[ids.long()]


def _names(scheme: ClassScheme) -> str:
    return ", ".join(cover.name for cover in scheme.land_covers)
