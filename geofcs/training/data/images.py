"""Small images and label maps (PNG and its like) as arrays; whatever a label must not hold is named with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from geofcs.classes import IGNORE, LANDSAT, NO_CHANGE, ClassScheme, Colour
from geofcs.errors import InputError
from geofcs.training.data.sample import Image

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg"})
FORMATS = ("PNG", "BMP", "TIFF", "JPEG")
"""Whatever a file calls itself: among Pillow's others is one that starts a program."""

LOSSY = frozenset({".jpg", ".jpeg"})

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

FROM_TO_T1 = np.array([0, 1, 1, 2, 2, 2, 3, 3, 4, 4], np.uint8)
FROM_TO_T2 = np.array([0, 2, 3, 1, 3, 4, 1, 2, 1, 2], np.uint8)
"""Ids of LANDSAT at both dates for the codes 0..9 that Landsat-SCD is distributed with."""

CHANGE_VALUES = {0: 0, 1: 1, 255: 1, 128: IGNORE}
"""What a change map may hold, and the label it stands for; 128 is our own mark for pixels to ignore."""

FAILURES = (OSError, UnidentifiedImageError, ValueError, SyntaxError, Pillow.DecompressionBombError)
"""What Pillow raises over files that are no image or damaged."""


@dataclass(frozen=True)
class WrongPixel(Exception):  # noqa: N818, it is a finding first
    """The first pixel of a label that holds what it must not."""

    row: int
    col: int
    value: str
    pixels: int
    allowed: str

    def at(self, path: Path) -> InputError:
        """The same as an error about a file."""
        more = f" ({self.pixels} such pixels)" if self.pixels > 1 else ""
        return InputError(
            f"{path}: row {self.row}, column {self.col} holds {self.value}{more}; allowed: {self.allowed}"
        )


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image, from its header. Raises `InputError`."""
    try:
        with Pillow.open(path, formats=FORMATS) as image:
            return image.height, image.width
    except FAILURES as error:
        raise _unreadable(path, error) from error


def read_image(path: Path) -> Image:
    """(3, h, w) uint8 RGB; grey becomes three equal bands. Raises `InputError` for 16-bit images and damaged files."""
    try:
        with Pillow.open(path, formats=FORMATS) as image:
            if image.mode not in ("RGB", "RGBA", "P", "L", "LA", "1"):
                raise InputError(
                    f"{path}: has pixels of the kind {image.mode!r}, not 8-bit RGB: convert it, or lay the scenes out "
                    "as GeoTIFF pairs, which are scaled"
                )
            pixels = np.asarray(image.convert("RGB"))
    except FAILURES as error:
        raise _unreadable(path, error) from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_cover(path: Path, scheme: ClassScheme) -> Image:
    """(h, w) class ids of one date, from ids or from the palette's colours; 255 is to be ignored.

    Raises `InputError` that names file, pixel and value for anything else.
    """
    return _checked(path, lambda values: cover_ids(values, scheme))


def read_change(path: Path) -> Image:
    """(h, w) of 0 and 1 (255 to be ignored) from a map of 0 and 255, or 0 and 1; raises `InputError`."""
    return _checked(path, change_labels)


def read_from_to(path: Path) -> tuple[Image, Image]:
    """(h, w) ids of LANDSAT at both dates from a map of Landsat-SCD's codes 0..9; raises `InputError`."""
    codes = _checked(path, from_to_codes)
    return FROM_TO_T1[codes], FROM_TO_T2[codes]


def read_values(path: Path) -> npt.NDArray[Any]:
    """A label file as it is: values (h, w), or colours (h, w, 3) uint8. Raises `InputError`."""
    if path.suffix.lower() in LOSSY:
        raise InputError(f"{path}: is a JPEG, whose colours are only near to what was saved: keep labels as PNG")
    try:
        with Pillow.open(path, formats=FORMATS) as image:
            if image.mode == "P":
                return _indices_or_colours(image)
            if image.mode == "1":
                return np.asarray(image).astype(np.uint8)
            values = np.asarray(image)
    except FAILURES as error:
        raise _unreadable(path, error) from error
    if values.ndim == 3 and values.shape[2] == 2:
        return values[..., 0]
    return values if values.ndim == 2 else values[..., :3]


def cover_ids(values: npt.NDArray[Any], scheme: ClassScheme) -> Image:
    """Class ids of a label map as read; raises `WrongPixel`."""
    if not holds_ids(values, scheme):
        return _from_palette(values, scheme)
    ids = values if values.ndim == 2 else values[..., 0]
    allowed = f"the ids 0 to {scheme.count - 1} of {scheme.name}, and {IGNORE} to ignore"
    _refuse((ids >= scheme.count) & (ids != IGNORE) | (ids < 0), ids, allowed)
    return ids.astype(np.uint8)


def change_labels(values: npt.NDArray[Any]) -> Image:
    """0, 1 and 255 (ignored) of a change map as read; raises `WrongPixel`."""
    grey = values if values.ndim == 2 else values[..., 0]
    allowed = "0 for unchanged, 255 or 1 for changed, 128 to ignore"
    if values.ndim == 3:
        _refuse((values != grey[..., None]).any(-1), values, allowed)
    _refuse(~np.isin(grey, list(CHANGE_VALUES)), grey, allowed)
    labels = np.zeros(grey.shape, np.uint8)
    for value, label in CHANGE_VALUES.items():
        labels[grey == value] = label
    return labels


def from_to_codes(values: npt.NDArray[Any]) -> Image:
    """Landsat-SCD's codes as read; raises `WrongPixel`."""
    codes = values if values.ndim == 2 else values[..., 0]
    allowed = "the from-to codes 0 to 9 of Landsat-SCD"
    if values.ndim == 3:
        _refuse((values != codes[..., None]).any(-1), values, allowed)
    _refuse((codes > 9) | (codes < 0), codes, allowed)
    return codes.astype(np.uint8)


def palette_of(scheme: ClassScheme) -> dict[Colour, int]:
    """Which id a colour stands for. White is no change; black, in Landsat-SCD, is outside the scene."""
    palette = {WHITE: NO_CHANGE, **{cover.colour: number for number, cover in enumerate(scheme.land_covers, 1)}}
    return palette | {BLACK: IGNORE} if scheme == LANDSAT else palette


def coloured_pixels(colours: npt.NDArray[np.uint8], scheme: ClassScheme) -> tuple[int, int]:
    """How many pixels of colours (h, w, 3) that are not white a scheme's palette knows, and how many there are."""
    packed = _packed(colours)
    coloured = packed != _packed(np.array(WHITE, np.uint8))
    known = np.isin(packed, [_packed(np.array(colour, np.uint8)) for colour in palette_of(scheme)])
    return int((known & coloured).sum()), int(coloured.sum())


def _from_palette(colours: npt.NDArray[np.uint8], scheme: ClassScheme) -> Image:
    packed = _packed(colours)
    ids = np.zeros(packed.shape, np.uint8)
    unknown = np.ones(packed.shape, bool)
    for colour, number in palette_of(scheme).items():
        here = packed == _packed(np.array(colour, np.uint8))
        ids[here] = number
        unknown &= ~here
    _refuse(unknown, colours, f"the colours of {scheme.name}: {', '.join(map(str, palette_of(scheme)))}")
    return ids


def _packed(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    wide = colours.astype(np.uint32)
    packed: npt.NDArray[np.uint32] = (wide * np.array([1 << 16, 1 << 8, 1], np.uint32)).sum(-1, dtype=np.uint32)
    return packed


def holds_ids(values: npt.NDArray[Any], scheme: ClassScheme) -> bool:
    """Whether a label map as read is one of ids, perhaps in three equal bands: so dark is none of a palette's greys."""
    return values.ndim == 2 or (bool((values < scheme.count).all()) and bool((values == values[..., :1]).all()))


def _indices_or_colours(image: Pillow.Image) -> npt.NDArray[Any]:
    """Of an image with a palette: colours where it is one of colours, indices where it is grey or missing."""
    colours = np.asarray(image.convert("RGB"))
    indices = np.asarray(image)
    same_grey = (colours == indices[..., None]).all()
    return indices if same_grey else colours


def _refuse(wrong: npt.NDArray[np.bool_], values: npt.NDArray[Any], allowed: str) -> None:
    if wrong.any():
        row, col = (int(each) for each in np.unravel_index(int(wrong.argmax()), wrong.shape))
        held = values[row, col]
        said = str(tuple(int(each) for each in held)) if np.ndim(held) else str(held)
        raise WrongPixel(row, col, said, int(wrong.sum()), allowed)


def _checked(path: Path, meaning: Callable[[npt.NDArray[Any]], Image]) -> Image:
    try:
        return meaning(read_values(path))
    except WrongPixel as wrong:
        raise wrong.at(path) from None


def _unreadable(path: Path, error: BaseException) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file")
    return InputError(f"{path}: cannot be read as an image ({' '.join(str(error).split())}): copy it again")
