"""Pairs read from image files, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from geofcs.classes import IGNORE, NO_CHANGE, ClassScheme
from geofcs.errors import InputError
from geofcs.training.data.files import PairFiles
from geofcs.training.data.images import read_change, read_cover, read_from_to, read_image
from geofcs.training.data.sample import Image, Sample


@dataclass(frozen=True)
class FolderPairs:
    """Labelled pairs of image files.

    With `white_is_outside` pixels that are white at both dates are ignored: outside the scene, in Landsat-SCD.
    """

    files: tuple[PairFiles, ...]
    scheme: ClassScheme
    white_is_outside: bool

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Read one pair; raises `InputError` that names the file, and the pixel and value where a label is wrong."""
        files = self.files[index]
        t1, t2 = read_image(files.t1), read_image(files.t2)
        change, label1, label2 = read_labels(files, self.scheme)
        for path, shape in ((files.t2, t2.shape[1:]), *((each, change.shape) for each in files.labels[:1])):
            if shape != t1.shape[1:]:
                raise InputError(f"{path}: has {_size(shape)} pixels, but {files.t1.name} of T1 {_size(t1.shape[1:])}")
        if self.white_is_outside:
            outside = outside_scene(t1, t2)
            for label in (change, label1, label2):
                label[outside] = IGNORE
        return Sample(t1, t2, change, label1, label2, files.name)


def read_parts(files: PairFiles, scheme: ClassScheme, white_is_outside: bool) -> tuple[Sample | None, list[str]]:
    """One pair, None where it cannot be made; then a sentence for each of its files that is wrong."""
    try:
        return FolderPairs((files,), scheme, white_is_outside)[0], []
    except InputError as error:
        first = str(error)
    problems = []
    for read in _readers(files, scheme):
        try:
            read()
        except InputError as error:
            problems.append(str(error))
    return None, problems or [first]


def _readers(files: PairFiles, scheme: ClassScheme) -> Iterator[Callable[[], object]]:
    """What reads each file by itself."""
    for image in (files.t1, files.t2):
        yield partial(read_image, image)
    for cover in (files.cover_t1, files.cover_t2):
        if cover is not None and not scheme.is_binary:
            yield partial(read_cover, cover, scheme)
    if files.change is not None:
        yield partial(read_change, files.change)
    if files.from_to is not None:
        yield partial(read_from_to, files.from_to)


def read_labels(files: PairFiles, scheme: ClassScheme) -> tuple[Image, Image, Image]:
    """Change and both dates' ids (h, w) of one pair; where no change map is given, changed is an id at either date.

    Raises `InputError` for values that mean nothing and maps of different sizes.
    """
    change = None if files.change is None else read_change(files.change)
    if scheme.is_binary:
        if change is None:
            raise InputError(f"{files.labels[0]}: is no change map, but the classes are binary")
        return change, np.full_like(change, IGNORE), np.full_like(change, IGNORE)
    if files.from_to is not None:
        label1, label2 = read_from_to(files.from_to)
    elif files.cover_t1 is not None and files.cover_t2 is not None:
        label1, label2 = read_cover(files.cover_t1, scheme), read_cover(files.cover_t2, scheme)
    else:
        raise InputError(f"{files.labels[0]}: says where, but not from what to what: say --classes binary")
    for path, label in ((files.cover_t2, label2), (files.change, change)):
        if label is not None and label.shape != label1.shape:
            raise InputError(f"{path}: has {_size(label.shape)} pixels, its fellow {_size(label1.shape)}")
    return changed_of(label1, label2) if change is None else change, label1, label2


def changed_of(label1: Image, label2: Image) -> Image:
    """1 where either date has a class, 255 where either is ignored."""
    change: Image = ((label1 != NO_CHANGE) | (label2 != NO_CHANGE)).astype(np.uint8)
    change[(label1 == IGNORE) | (label2 == IGNORE)] = IGNORE
    return change


def outside_scene(t1: Image, t2: Image) -> npt.NDArray[np.bool_]:
    """(h, w): white at both dates."""
    outside: npt.NDArray[np.bool_] = (t1.min(0) == 255) & (t2.min(0) == 255)
    return outside


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"
