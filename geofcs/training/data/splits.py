"""Which pairs train, which validate and which are only evaluated; by default nothing leaks from one to another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from geofcs.training.data.files import WHOLE, PairFiles
from geofcs.training.data.ground import blocks_of_ground, footprints, overlapping
from geofcs.training.data.layouts import Layout

VALIDATION_SHARE = 0.2
"""Of the training pairs, where no list says which: as in SECOND's published division, 593 of 2,968."""

COPY_MARKS = ("rotate", "Crop", "ZheDang", "Zhedang")
"""What names of Landsat-SCD's augmented copies contain."""

CUT_FROM_SCENE = re.compile(r"^(?P<scene>.+?)[_-]\d+[_-]\d+$")
"""A name that ends in a row and a column was cut from a scene."""

FEWEST_SCENES = 5
"""Fewer cannot be divided by scene."""

Files = tuple[PairFiles, ...]


@dataclass(frozen=True)
class Split:
    """Pairs that train, validate and test, and what was done to divide them, a sentence each."""

    train: Files
    val: Files
    test: Files
    notes: tuple[str, ...]


def split_layout(layout: Layout, *, published: bool = False, keep_copies: bool = False) -> Split:
    """The pairs of a layout, divided.

    By default augmented copies are left out, validation is the published list or held out from train (by scene where
    names tell, by blocks of ground where georeferencing does, else by image), and test is for evaluation alone.
    `published` does as the authors did: train on train and validation, copies and all, and validate on test: a leak.
    """
    if published:
        return _published(layout)
    splits, notes = _without_copies(layout.splits, keep_copies)
    train, val, test = (splits.get(name, ()) for name in ("train", "val", "test"))
    train += splits.get(WHOLE, ())
    if train and not val:
        train, val, note = _held_out(train)
        notes.append(note)
    return Split(train, val, test, tuple(notes))


def _published(layout: Layout) -> Split:
    splits = layout.splits
    train = splits.get("train", ()) + splits.get("val", ()) + splits.get(WHOLE, ())
    test = splits.get("test", ())
    note = "published protocol: trains on train and validation lists and chooses the model on the test list, a leak"
    return Split(train, test, test, (note,))


def is_copy(name: str) -> bool:
    """Whether a name is one of Landsat-SCD's augmented copies."""
    return any(mark in name for mark in COPY_MARKS)


def _without_copies(splits: Mapping[str, Files], keep: bool) -> tuple[dict[str, Files], list[str]]:
    copies = sum(is_copy(pair.name) for pairs in splits.values() for pair in pairs)
    if keep or not copies:
        return dict(splits), []
    kept = {split: tuple(pair for pair in pairs if not is_copy(pair.name)) for split, pairs in splits.items()}
    return kept, [f"{copies} augmented copies ({', '.join(COPY_MARKS)} in their names) are left out"]


def _held_out(train: Files) -> tuple[Files, Files, str]:
    """Training and validation pairs: whole scenes in an order that depends on names and places alone."""
    scenes = scenes_of([pair.name for pair in train])
    boxes = footprints([pair.t1 for pair in train]) if len(set(scenes)) == len(train) else None
    if boxes is not None:
        scenes = blocks_of_ground(boxes)
    chosen = _chosen(scenes)
    val = tuple(pair for pair, scene in zip(train, scenes, strict=True) if scene in chosen)
    kept = tuple(pair for pair, scene in zip(train, scenes, strict=True) if scene not in chosen)
    said = f"validation: {len(val)} of {len(train)} training pairs held out, by"
    if boxes is None:
        told = len(set(scenes)) < len(train)
        return kept, val, f"{said} {_of(scenes, chosen, 'scenes') if told else 'images, whose names tell no scenes'}"
    seen = overlapping(boxes, [scene in chosen for scene in scenes])
    kept = tuple(pair for number, pair in enumerate(train) if scenes[number] not in chosen and number not in seen)
    more = f"; {len(seen)} that overlap them are left out of training" if seen else ""
    return kept, val, f"{said} {_of(scenes, chosen, 'blocks of ground')}{more}"


def _chosen(scenes: Sequence[str]) -> set[str]:
    """Scenes that hold about a fifth of the pairs."""
    sizes = Counter(scenes)
    wanted, chosen, held = VALIDATION_SHARE * len(scenes), set[str](), 0
    for scene in sorted(sizes, key=order_of):
        if held + sizes[scene] / 2 < wanted or not chosen:
            chosen.add(scene)
            held += sizes[scene]
    return chosen


def _of(scenes: Sequence[str], chosen: set[str], what: str) -> str:
    return f"{len(chosen)} of {len(set(scenes))} {what}"


def scenes_of(names: Sequence[str]) -> list[str]:
    """The scene that each pair was cut from, or its own name where names do not tell."""
    matches = [CUT_FROM_SCENE.match(name) for name in names]
    scenes = Counter(match["scene"] for match in matches if match)
    if not all(matches) or not FEWEST_SCENES <= len(scenes) < len(names):
        return list(names)
    return [match["scene"] for match in matches if match]


def order_of(name: str) -> bytes:
    """A shuffled order that is the same everywhere and hardly changes when names are added."""
    return blake2b(name.encode(), digest_size=8).digest()
