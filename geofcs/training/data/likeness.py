"""Which pairs show the same ground: equal pixels, also turned, flipped, cropped or overlapping, and near copies.

Equal pixels are found by anchors: a hash of the pixels around a place that does not depend on their order, so a turn or
a flip keeps it, taken where it happens to be a multiple of `KEPT_OF`. Images that share ground share anchors. Copies
whose pixels were computed anew (saved as JPEG, resized as a whole) are found by thumbnails of both dates, in all eight
orientations. A crop that was resized, or a turn by another angle than 90 degrees, is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofcs.training.data.sample import Image

WINDOW, INNER_WINDOW = 9, 5
"""Pixels a side around an anchor; the smaller window adds where in it the pixels lie."""

KEPT_OF = 256
"""One place of so many is an anchor: a thousand in an image of 512 pixels a side."""

FEWEST_SHARED, SHARED_SHARE = 8, 0.03
"""Two pairs that share so many anchors, and this share of the fewer, show the same ground."""

MOST_SHARING = 64
"""Anchors in more pairs than this are of blank or repeated patterns."""

THUMB = 16
NEAR = 0.985
"""Correlation of thumbnails from which on one pair is a near copy of another."""

FLATTEST = 4.0
"""Standard deviation, in grey values, below which a thumbnail says nothing."""

ROUNDING = 1e-4
SQUARES_AT_ONCE = 1024

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a pair to compare it: anchors of both dates, and a thumbnail (2, 16, 16), None if flat."""

    anchors: Hashes
    thumbnail: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Likeness:
    """Two pairs by number, first < second, and the share of anchors in common (of the fewer), or 0 for a near copy."""

    first: int
    second: int
    shared: float


def fingerprint(t1: Image, t2: Image) -> Fingerprint:
    """The fingerprint of a pair of images (3, h, w)."""
    anchors = np.unique(np.concatenate([anchors_of(t1), anchors_of(t2)]))
    return Fingerprint(anchors, _thumbnail(t1, t2))


def anchors_of(image: Image) -> Hashes:
    """The anchors of one image, not in order; none where it is smaller than a window."""
    wide = image.astype(np.uint64)
    pixels = _scrambled(wide[0] << np.uint64(16) | wide[1] << np.uint64(8) | wide[2])
    if min(pixels.shape) < WINDOW:
        return np.empty(0, np.uint64)
    outer, inset = _box_sums(pixels, WINDOW), (WINDOW - INNER_WINDOW) // 2
    inner = _box_sums(pixels, INNER_WINDOW)[inset : inset + outer.shape[0], inset : inset + outer.shape[1]]
    hashes = _scrambled(outer + _scrambled(inner))
    anchors: Hashes = hashes[hashes % np.uint64(KEPT_OF) == 0]
    return anchors


def alike(prints: Sequence[Fingerprint]) -> list[Likeness]:
    """Every two pairs that show the same ground."""
    found = {(each.first, each.second): each for each in _near(prints)}
    found |= {(each.first, each.second): each for each in _sharing(prints)}
    return [found[key] for key in sorted(found)]


def _sharing(prints: Sequence[Fingerprint]) -> list[Likeness]:
    sizes = np.array([len(each.anchors) for each in prints])
    if not sizes.sum():
        return []
    anchors = np.concatenate([each.anchors for each in prints])
    owners = np.repeat(np.arange(len(prints)), sizes)
    order = np.lexsort((owners, anchors))
    couples, counts = np.unique(_couples(anchors[order], owners[order]), axis=0, return_counts=True)
    fewer = np.minimum(sizes[couples[:, 0]], sizes[couples[:, 1]])
    enough = (counts >= FEWEST_SHARED) & (counts >= SHARED_SHARE * fewer)
    return [
        Likeness(int(first), int(second), float(count / few))
        for (first, second), count, few in zip(couples[enough], counts[enough], fewer[enough], strict=True)
    ]


def _couples(anchors: Hashes, owners: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(n, 2) numbers of pairs, one row for each anchor that two of them have; `anchors` are sorted."""
    starts = np.flatnonzero(np.diff(anchors, prepend=anchors[0] + np.uint64(1)) != 0)
    lengths = np.diff(starts, append=len(anchors))
    rows = [np.empty((0, 2), np.intp)]
    for length in np.unique(lengths):
        if 2 <= length <= MOST_SHARING:
            groups = owners[starts[lengths == length][:, None] + np.arange(length)]
            first, second = np.triu_indices(length, 1)
            rows.append(np.stack([groups[:, first].ravel(), groups[:, second].ravel()], axis=1))
    return np.concatenate(rows)


def _near(prints: Sequence[Fingerprint]) -> list[Likeness]:
    """Pairs whose thumbnails correlate in some orientation.

    Two thumbnails are at most as far apart in their mean over all orientations as in the best one: comparing the means
    first leaves few to compare eight times.
    """
    numbers = [number for number, each in enumerate(prints) if each.thumbnail is not None]
    if len(numbers) < 2:
        return []
    thumbnails = np.stack([each.thumbnail for each in prints if each.thumbnail is not None])
    sides = (thumbnails, thumbnails[..., ::-1])
    views = np.stack([np.rot90(side, turns, (2, 3)) for side in sides for turns in range(4)])
    quarter = 2 * views.mean(0)[:, :, : THUMB // 2, : THUMB // 2].reshape(len(numbers), -1)  # the other three are equal
    squares, found = (quarter**2).sum(1), []
    for start in range(0, len(numbers), SQUARES_AT_ONCE):
        rows = slice(start, start + SQUARES_AT_ONCE)
        apart = squares[rows, None] + squares[None, :] - 2 * quarter[rows] @ quarter.T
        near = np.argwhere(apart < 2 - 2 * NEAR + ROUNDING)
        near[:, 0] += start
        for a, b in near[near[:, 0] < near[:, 1]].tolist():
            if np.einsum("vdhw,dhw->v", views[:, a], thumbnails[b]).max() > NEAR:
                found.append(Likeness(numbers[a], numbers[b], 0.0))
    return found


def _thumbnail(t1: Image, t2: Image) -> npt.NDArray[np.float32] | None:
    """(2, 16, 16) of both dates, each with mean 0, of length 1 together."""
    dates = []
    for image in (t1, t2):
        grey = image.mean(0, dtype=np.float32)
        rows, cols = (np.linspace(0, length, THUMB + 1).astype(int)[:-1] for length in grey.shape)
        sums = np.add.reduceat(np.add.reduceat(grey, rows, 0), cols, 1)
        cells = np.diff(rows, append=grey.shape[0])[:, None] * np.diff(cols, append=grey.shape[1])
        small = sums / cells
        if small.std() < FLATTEST:
            return None
        dates.append((small - small.mean()) / np.linalg.norm(small - small.mean()))
    both: npt.NDArray[np.float32] = (np.stack(dates) / np.sqrt(2)).astype(np.float32)
    return both


def _box_sums(values: Hashes, side: int) -> Hashes:
    """Sums modulo 2^64 over every window of `side` pixels a side."""
    padded = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.uint64)
    np.cumsum(np.cumsum(values, 0, out=padded[1:, 1:]), 1, out=padded[1:, 1:])
    sums: Hashes = padded[side:, side:] - padded[:-side, side:] - padded[side:, :-side] + padded[:-side, :-side]
    return sums


def _scrambled(numbers: Hashes) -> Hashes:
    """The finalising steps of the splitmix64 generator: every bit of the result depends on every bit given."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
