"""Folders are recognised by what lies in them, and say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geofcs.classes import BINARY, IGNORE, LANDSAT, SECOND, ClassScheme, LandCover, scheme_to_json
from geofcs.errors import InputError
from geofcs.training.data.dataset import open_dataset
from geofcs.training.data.layouts import find_layout
from geofcs.training.data.pairs import FolderPairs
from geofcs.training.data.sample import Sample
from tests.training.folders import (
    Made,
    as_read_by_the_authors,
    coloured,
    made,
    save,
    second_as_distributed,
    several,
    with_ids,
    with_one_label,
    write_list,
)  # fmt: skip

NAMES = ["00001", "00002", "00003"]


def assert_is(sample: Sample, pair: Made) -> None:
    assert np.array_equal(sample.t1, pair.t1.transpose(2, 0, 1)) and np.array_equal(
        sample.t2, pair.t2.transpose(2, 0, 1)
    )
    assert np.array_equal(sample.label1, pair.label1) and np.array_equal(sample.label2, pair.label2)
    assert np.array_equal(sample.change, pair.label1 > 0)
    assert all(each.dtype == np.uint8 for each in sample[:5])


def read(folder: Path, split: str, scheme: ClassScheme | None = None) -> list[Sample]:
    layout = find_layout(folder, scheme)
    pairs = FolderPairs(layout.splits[split], layout.scheme, layout.white_is_outside)
    return [pairs[index] for index in range(len(pairs))]


@pytest.mark.parametrize("write", [second_as_distributed, as_read_by_the_authors, with_ids])
def test_second_is_read_in_each_of_its_layouts(
    tmp_path: Path, write: Callable[[Path, list[tuple[str, Made]]], None]
) -> None:
    pairs = several(NAMES)
    write(tmp_path / "train", pairs[:2])
    write(tmp_path / "test", pairs[2:])
    scheme = SECOND if write is with_ids else None
    for split, expected in (("train", pairs[:2]), ("test", pairs[2:])):
        samples = read(tmp_path, split, scheme)
        assert [sample.name for sample in samples] == [name for name, _ in expected]
        for sample, (_, pair) in zip(samples, expected, strict=True):
            assert_is(sample, pair)
    assert find_layout(tmp_path, scheme).scheme == SECOND


def test_landsat_is_read_from_its_from_to_codes_and_from_split_labels(tmp_path: Path) -> None:
    pairs = several(NAMES, LANDSAT)
    with_one_label(tmp_path / "codes", pairs, binary=False)
    with_ids(tmp_path / "ids", pairs)
    for split, name in (("train", NAMES[0]), ("val", NAMES[1]), ("test", NAMES[2])):
        write_list(tmp_path / "ids" / f"{split}_list.txt", [name])
    assert find_layout(tmp_path / "codes").scheme == find_layout(tmp_path / "ids").scheme == LANDSAT
    for sample, (_, pair) in zip(read(tmp_path / "codes", ""), pairs, strict=True):
        assert_is(sample, pair)
    assert_is(read(tmp_path / "ids", "val")[0], pairs[1][1])


def test_colours_tell_landsat_from_second(tmp_path: Path) -> None:
    pair = made(0, LANDSAT)
    for part, pixels in zip(
        ("A", "B", "labelA", "labelB"),
        (pair.t1, pair.t2, coloured(pair.label1, LANDSAT), coloured(pair.label2, LANDSAT)),
        strict=True,
    ):
        save(tmp_path / part / "x.png", pixels)
    assert_is(read(tmp_path, "")[0], pair)


def test_levir_is_binary_and_its_class_labels_are_ignored_throughout(tmp_path: Path) -> None:
    pairs = several(NAMES)
    with_one_label(tmp_path / "train", pairs, binary=True)
    assert find_layout(tmp_path).scheme == BINARY
    sample = read(tmp_path, "train")[0]
    assert np.array_equal(sample.change, pairs[0][1].label1 > 0)
    assert (sample.label1 == IGNORE).all() and (sample.label2 == IGNORE).all()


def test_a_folder_of_ones_own_names_its_classes_in_a_file(tmp_path: Path) -> None:
    scheme = ClassScheme("mine", (LandCover("ice", (0, 0, 1)), LandCover("rock", (0, 0, 2))))
    pair = made(0)
    with_ids(tmp_path, [("x", pair._replace(label1=pair.label1 % 3, label2=pair.label2 % 3))])
    (tmp_path / "classes.json").write_text(scheme_to_json(scheme))
    assert find_layout(tmp_path).scheme == scheme
    assert json.loads(scheme_to_json(scheme))["name"] == "mine"


def test_ids_without_a_hint_of_their_classes_are_refused(tmp_path: Path) -> None:
    with_ids(tmp_path, several(NAMES))
    with pytest.raises(InputError, match="--classes second"):
        find_layout(tmp_path)


def test_pixels_white_at_both_dates_are_ignored_in_landsat_only(tmp_path: Path) -> None:
    pair = made(0, LANDSAT)
    t1, t2 = pair.t1.copy(), pair.t2.copy()
    t1[:5], t2[:3] = 255, 255
    with_ids(tmp_path / "train", [("x", pair._replace(t1=t1, t2=t2))])
    sample = read(tmp_path, "train", LANDSAT)[0]
    for label in (sample.change, sample.label1, sample.label2):
        assert (label[:3] == IGNORE).all() and (label[3:] != IGNORE).all()
    assert (read(tmp_path, "train", SECOND)[0].change != IGNORE).all()


def test_a_wrong_colour_is_named_with_file_pixel_and_value(tmp_path: Path) -> None:
    pair = made(0)
    second_as_distributed(tmp_path / "train", [("x", pair)])
    wrong = coloured(pair.label1, SECOND)
    wrong[7, 9] = (1, 2, 3)
    path = save(tmp_path / "train" / "label1" / "x.png", wrong)
    with pytest.raises(InputError) as error:
        read(tmp_path, "train", SECOND)
    assert str(error.value).startswith(f"{path}: row 7, column 9 holds (1, 2, 3); allowed: the colours of second")


@pytest.mark.parametrize(
    ("write", "part", "value", "said"),
    [
        (with_ids, "labelB", 7, "holds 7; allowed: the ids 0 to 6 of second"),
        (lambda folder, pairs: with_one_label(folder, pairs, binary=False), "label", 10, "allowed: the from-to codes"),
        (lambda folder, pairs: with_one_label(folder, pairs, binary=True), "label", 77, "0 for unchanged, 255 or 1"),
        (as_read_by_the_authors, "GT_CD", 2, "0 for unchanged, 255 or 1 for changed"),
    ],
)
def test_a_wrong_value_is_named(
    tmp_path: Path, write: Callable[[Path, list[tuple[str, Made]]], None], part: str, value: int, said: str
) -> None:
    write(tmp_path, several(["x"], LANDSAT))
    scheme = find_layout(tmp_path, SECOND).scheme if part in ("labelB", "GT_CD") else None
    label = np.zeros((48, 48), np.uint8)
    label[0, 1], label[40, 3] = (5 if part == "label" and value == 10 else 0), value
    save(tmp_path / part / "x.png", label)
    with pytest.raises(InputError, match="row 40, column 3") as error:
        read(tmp_path, "", scheme)
    assert said in str(error.value)


def test_files_without_counterparts_are_all_listed(tmp_path: Path) -> None:
    second_as_distributed(tmp_path, several(NAMES))
    (tmp_path / "label2" / "00002.png").unlink()
    (tmp_path / "im1" / "00003.png").unlink()
    layout = find_layout(tmp_path)
    assert [pair.name for pair in layout.splits[""]] == ["00001"]
    assert [problem.split("/")[-1] for problem in layout.problems] == [
        "00002.png: has no counterpart in label2", "00003.png: has no counterpart in im1",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no counterpart in label2"):
        open_dataset(tmp_path)


def test_a_list_that_names_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with_ids(tmp_path, several(NAMES))
    write_list(tmp_path / "train_list.txt", [*NAMES[:2], "nowhere"])
    layout = find_layout(tmp_path, LANDSAT)
    assert any("names nowhere, which is not there" in problem for problem in layout.problems)
    assert any("1 pairs are in no list" in problem for problem in layout.problems)


@pytest.mark.parametrize("ending", ["", ".png", ".png.png"])
def test_lists_may_carry_endings(tmp_path: Path, ending: str) -> None:
    with_ids(tmp_path, several(NAMES))
    write_list(tmp_path / "list" / "train.txt", NAMES[:2], ending)
    write_list(tmp_path / "list" / "test.txt", NAMES[2:], ending)
    splits = find_layout(tmp_path, SECOND).splits
    assert {split: [pair.name for pair in pairs] for split, pairs in splits.items()} == {
        "train": NAMES[:2], "test": NAMES[2:],
    }  # fmt: skip


def test_an_empty_folder_and_one_without_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the known layouts"):
        find_layout(tmp_path)
    for part in ("A", "B", "label"):
        (tmp_path / part).mkdir()
    with pytest.raises(InputError, match="no complete pair"):
        find_layout(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_layout(tmp_path / "nowhere")


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    pair = made(0)
    second_as_distributed(tmp_path, [("x", pair._replace(t2=pair.t2[:40]))])
    with pytest.raises(InputError, match=r"im2/x.png: has 40 x 48 pixels, but x.png of T1 48 x 48"):
        read(tmp_path, "")


def test_the_published_pair_of_second_is_read(realdata: Path) -> None:
    layout = find_layout(realdata / "second_rgb_labels")
    assert (layout.kind, layout.scheme, layout.pairs) == ("im1 im2 label1 label2", SECOND, 1)
    sample = read(realdata / "second_rgb_labels", "")[0]
    assert sample.t1.shape == (3, 512, 512) and 0 < (sample.change == 1).mean() < 1
    assert np.array_equal(sample.label1 > 0, sample.label2 > 0)


def test_levir_crops_are_read(realdata: Path) -> None:
    layout = find_layout(realdata / "levir_cd")
    assert (layout.scheme, layout.pairs, layout.problems) == (BINARY, 4, ())
