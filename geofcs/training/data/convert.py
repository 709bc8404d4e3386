"""Any dataset written anew in the clean layout: train, val and test with A, B and labels as ids, leaks left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from geofcs.classes import IGNORE, ClassScheme, scheme_to_json
from geofcs.errors import OutputError
from geofcs.staging import staged
from geofcs.training.data.images import CHANGE_VALUES
from geofcs.training.data.label_classes import CLASSES_FILE
from geofcs.training.data.sample import Dataset, Image, Pairs, Sample

PIECE = 64
"""Pairs written before progress is told."""

CHANGE_VALUE_OF = {0: 0, 1: 255, IGNORE: next(value for value, label in CHANGE_VALUES.items() if label == IGNORE)}


def convert(
    dataset: Dataset,
    out: Path,
    left_out: Iterable[tuple[str, str]] = (),
    progress: Callable[[int], None] = lambda _pairs: None,
) -> dict[str, int]:
    """Write a dataset into a new folder; returns the pairs written by split. `left_out` are (split, name).

    Raises `OutputError` where the folder exists, is being written or cannot be, `InputError` for pairs that cannot be
    read; then nothing is left under its name.
    """
    if out.exists():
        raise OutputError(f"{out}: exists: choose another folder")
    skipped = set(left_out)
    with staged(out, overwrite=False) as folder:
        if not dataset.scheme.is_binary:
            (folder / CLASSES_FILE).write_text(scheme_to_json(dataset.scheme) + "\n", encoding="utf-8")
        sets = (("train", dataset.train), ("val", dataset.val), ("test", dataset.test))
        return {split: _write_split(folder, split, pairs, dataset.scheme, skipped, progress) for split, pairs in sets}


def _write_split(
    folder: Path,
    split: str,
    pairs: Pairs,
    scheme: ClassScheme,
    skipped: set[tuple[str, str]],
    progress: Callable[[int], None],
) -> int:
    def write(index: int) -> bool:
        sample = pairs[index]
        wanted = (split, sample.name) not in skipped
        if wanted:
            _write(folder / split, sample, scheme)
        return wanted

    written = 0
    with ThreadPoolExecutor(os.cpu_count() or 1, "geofcs-convert") as pool:
        for start in range(0, len(pairs), PIECE):
            for wanted in pool.map(write, range(start, min(start + PIECE, len(pairs)))):
                written += wanted
                progress(1)
    return written


def _write(folder: Path, sample: Sample, scheme: ClassScheme) -> None:
    parts = {"A": sample.t1.transpose(1, 2, 0), "B": sample.t2.transpose(1, 2, 0), **_labels(sample, scheme)}
    for part, pixels in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.ascontiguousarray(pixels)).save(folder / part / f"{sample.name}.png", compress_level=3)


def _labels(sample: Sample, scheme: ClassScheme) -> dict[str, Image]:
    """Ids where something changed, as the published layouts hold them; a change map if binary."""
    if scheme.is_binary:
        table = np.zeros(256, np.uint8)
        table[list(CHANGE_VALUE_OF)] = list(CHANGE_VALUE_OF.values())
        return {"label": table[sample.change]}
    ignored = np.where(sample.change == IGNORE, IGNORE, 0)
    return {
        part: np.where(sample.change == 1, ids, ignored).astype(np.uint8)
        for part, ids in (("labelA", sample.label1), ("labelB", sample.label2))
    }
