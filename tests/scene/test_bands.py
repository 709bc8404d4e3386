"""Which bands are taken for red, green and blue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geofcs.errors import InputError
from geofcs.scene.bands import FileBands, choose_bands
from tests.scene.rasters import noise, plan, set_colours, values, write

PLAIN = ("gray", "undefined", "undefined", "undefined", "undefined")


def bands(*descriptions: str, colours: tuple[str, ...] | None = None) -> FileBands:
    return FileBands("scene.tif", descriptions, colours or PLAIN[: len(descriptions)])


@pytest.mark.parametrize(
    ("file", "expected", "reason"),
    [
        (bands("", "", "", colours=("blue", "green", "red")), (3, 2, 1), "colour"),
        (bands("", "", "", "", colours=("red", "green", "blue", "alpha")), (1, 2, 3), "colour"),
        (bands("NIR", "Red", "GREEN", "blue"), (2, 3, 4), "description"),
        (bands("vis-blue", "vis-green", "vis-red", "nir"), (3, 2, 1), "description"),
        (bands("B", "G", "R"), (3, 2, 1), "description"),
        (bands("B02", "B03", "B04", "B08"), (3, 2, 1), "description"),
        (bands("B8A", "Band 4", "band_3", "B2"), (2, 3, 4), "description"),
        (bands("red", "green", "blue", colours=("undefined", "red", "undefined")), (1, 2, 3), "description"),
        (bands("", "", "", ""), (1, 2, 3), "nothing says"),
        (bands("red", "red", "green", "blue"), (1, 2, 3), "nothing says"),
        (bands("red edge", "green", "blue"), (1, 2, 3), "nothing says"),
        (bands("", "", "", "", colours=("alpha", "undefined", "undefined", "undefined")), (2, 3, 4), "nothing says"),
        (bands("panchromatic"), (1,), "only band"),
        (bands("", "", colours=("gray", "alpha")), (1,), "only band"),
    ],
)
def test_the_default_is_by_colour_then_by_description_then_the_first(
    file: FileBands, expected: tuple[int, ...], reason: str
) -> None:
    choice = choose_bands(file, None)
    assert choice.numbers == expected
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("3,2,1", (3, 2, 1)),
        ("4", (4,)),
        (" 4 , 3,2 ", (4, 3, 2)),
        ("b4,B3,b02", (3, 2, 1)),
        ("B08,B04,B03", (4, 3, 2)),
        ("nir", (5,)),
        ("1,1,1", (1, 1, 1)),
    ],
)
def test_bands_are_named_by_number_or_description(wanted: str, expected: tuple[int, ...]) -> None:
    assert choose_bands(bands("B02", "B03", "B04", "B08", "NIR"), wanted).numbers == expected


def test_bands_are_named_by_colour_too() -> None:
    assert choose_bands(bands("", "", "", colours=("blue", "green", "red")), "red,green,blue").numbers == (3, 2, 1)


@pytest.mark.parametrize("wanted", ["5,1,2", "0,1,2", "swir,1,2", "-1", "1.5", ""])
def test_a_band_that_is_not_there_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(
        InputError, match=r"scene\.tif: has no band '.*', its bands are 1 \(B02\), 2 \(nir\), 3: .*--bands"
    ):
        choose_bands(bands("B02", "nir", ""), wanted)


@pytest.mark.parametrize("wanted", ["1,2", "1,2,3,1"])
def test_other_than_one_or_three_bands_are_refused(wanted: str) -> None:
    with pytest.raises(InputError, match="name one, or red, green and blue"):
        choose_bands(bands("", "", ""), wanted)


def test_two_bands_are_too_few_to_choose_from() -> None:
    with pytest.raises(
        InputError, match=r"scene\.tif: has too few bands.* 1 \(VV\), 2 \(VH\): choose one with --bands"
    ):
        choose_bands(bands("VV", "VH"), None)
    assert choose_bands(bands("VV", "VH"), "vh").numbers == (2,)


def test_transparency_is_never_image() -> None:
    file = bands("", "", "", "", colours=("red", "green", "blue", "alpha"))
    with pytest.raises(InputError, match="band 4 is transparency"):
        choose_bands(file, "4,1,2")
    with pytest.raises(InputError, match="too few bands"):
        choose_bands(bands("", "", "", colours=("gray", "undefined", "alpha")), None)


def test_the_chosen_bands_are_read_in_their_order(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise(bands=5)), write(tmp_path / "b.tif", noise(bands=4, seed=1))
    pair = plan(t1, t2, bands="4,3,1", bands_t2="2,1,4")
    got = values(pair)
    assert (got.t1 == noise(bands=5)[[3, 2, 0]]).all()
    assert (got.t2 == noise(bands=4, seed=1)[[1, 0, 3]]).all()
    assert pair.notes[:2] == ("T1 a.tif: bands 4, 3, 1: as asked for", "T2 b.tif: bands 2, 1, 4: as asked for")


def test_a_single_band_is_repeated(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise(bands=1)), write(tmp_path / "b.tif", noise(bands=3))
    pair = plan(t1, t2)
    assert (values(pair).t1 == np.repeat(noise(bands=1), 3, axis=0)).all()
    assert "a.tif: band 1: the only band, taken for red, green and blue" in pair.notes[0]


def test_a_warning_is_noted_where_nothing_says_what_bands_are(tmp_path: Path) -> None:
    t1 = write(tmp_path / "a.tif", noise(bands=4))
    assert "nothing says which are red, green and blue, --bands does" in plan(t1, t1).notes[0]


def test_bands_of_a_file_are_found_by_its_colours(tmp_path: Path) -> None:
    colours = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)
    t1 = set_colours(write(tmp_path / "a.tif", noise(bands=4)), colours)
    pair = plan(t1, t1)
    assert pair.t1.source.bands == (3, 2, 1)
    assert pair.t1.source.labels == ("3 (red)", "2 (green)", "1 (blue)")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_palette_is_shown_in_its_colours(dtype: str, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 4, (90, 120)).astype(dtype)
    table = {0: (0, 0, 0, 255), 1: (0, 128, 0, 255), 2: (200, 20, 3, 255), 3: (1, 2, 250, 255)}
    t1 = write(tmp_path / "a.tif", ids)
    with rasterio.open(t1, "r+") as dataset:
        dataset.write_colormap(1, table)
    pair = plan(t1, t1)
    expected = np.array([table[index][:3] for index in range(4)])[ids].transpose(2, 0, 1)
    assert (values(pair).t1 == expected).all()
    assert pair.t1.stretch is None and "colour table" in pair.notes[0]
