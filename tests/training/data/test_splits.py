"""What trains, validates and tests: nothing leaks unless the published protocol is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geofcs.classes import LANDSAT, SECOND
from geofcs.training.data.files import PairFiles
from geofcs.training.data.layouts import Layout, find_layout
from geofcs.training.data.splits import Split, scenes_of, split_layout
from tests.training.folders import several, with_ids, write_list


def layout_of(**splits: list[str]) -> Layout:
    files = {
        split.replace("whole", ""): tuple(PairFiles(name, Path(name), Path(name)) for name in names)
        for split, names in splits.items()
    }
    return Layout(Path("x"), "A B labelA labelB", SECOND, files)


def names(split: Split) -> tuple[set[str], set[str], set[str]]:
    train, val, test = ({pair.name for pair in pairs} for pairs in (split.train, split.val, split.test))
    return train, val, test


NUMBERS = [f"{number:05}" for number in range(100)]


def test_validation_is_a_fifth_of_train_and_test_is_left_alone() -> None:
    train, val, test = names(split_layout(layout_of(train=NUMBERS, test=["t1", "t2"])))
    assert len(val) == 20 and train | val == set(NUMBERS) and not train & val
    assert test == {"t1", "t2"}


def test_the_division_does_not_depend_on_order_and_hardly_on_what_is_added() -> None:
    _, val, _ = names(split_layout(layout_of(train=NUMBERS)))
    assert names(split_layout(layout_of(train=NUMBERS[::-1])))[1] == val
    more = names(split_layout(layout_of(train=[*NUMBERS, "a", "b"])))[1]
    assert len(val ^ more) <= 4


def test_whole_scenes_are_held_out_where_names_tell() -> None:
    crops = [f"train_{scene}_{row:04}_{col:04}" for scene in range(30) for row in (0, 256) for col in (0, 256)]
    split = split_layout(layout_of(train=crops))
    train, val, _ = names(split)
    scenes = [{name.rsplit("_", 2)[0] for name in part} for part in (train, val)]
    assert not scenes[0] & scenes[1] and len(val) == 24
    assert "6 of 30 scenes" in split.notes[0]


def test_names_of_numbers_alone_are_no_scenes() -> None:
    assert scenes_of(NUMBERS) == NUMBERS
    assert scenes_of(["a_1_2", "b_3_4"]) == ["a_1_2", "b_3_4"]


def test_augmented_copies_are_left_out_unless_the_authors_way_is_asked_for() -> None:
    layout = layout_of(train=["1", "1_rotate90", "1_Crop", "2"], val=["3", "3_ZheDang"], test=["4", "Zhedang_4"])
    assert names(split_layout(layout)) == ({"1", "2"}, {"3"}, {"4"})
    published = split_layout(layout, published=True)
    assert names(published)[0] == {"1", "1_rotate90", "1_Crop", "2", "3", "3_ZheDang"}
    assert names(published)[1] == names(published)[2] == {"4", "Zhedang_4"}
    assert "leak" in published.notes[0]


def test_the_published_division_of_second_is_used_if_its_lists_are_there(tmp_path: Path) -> None:
    with_ids(tmp_path / "train", several(NUMBERS[:6]))
    with_ids(tmp_path / "test", several(NUMBERS[:2]))
    write_list(tmp_path / "train_info.txt", NUMBERS[:4])
    write_list(tmp_path / "val_info.txt", NUMBERS[4:6])
    split = split_layout(find_layout(tmp_path, SECOND))
    assert names(split) == (set(NUMBERS[:4]), set(NUMBERS[4:6]), set(NUMBERS[:2]))
    assert all(pair.t1.parts[-3] == "test" for pair in split.test) and not split.notes


def test_landsats_lists_divide_one_folder(tmp_path: Path) -> None:
    with_ids(tmp_path, several(NUMBERS[:4], LANDSAT))
    for name, chosen in (("train", NUMBERS[:2]), ("val", NUMBERS[2:3]), ("test", NUMBERS[3:4])):
        write_list(tmp_path / f"{name}_list.txt", chosen)
    layout = find_layout(tmp_path)
    assert layout.scheme == LANDSAT and not layout.problems
    assert names(split_layout(layout)) == (set(NUMBERS[:2]), set(NUMBERS[2:3]), set(NUMBERS[3:4]))
    assert names(split_layout(layout, published=True))[:2] == (set(NUMBERS[:3]), set(NUMBERS[3:4]))


def georeferenced(folder: Path, places: list[tuple[float, float]], side: int = 16) -> Layout:
    """Pairs of GeoTIFFs, numbered, whose upper left corners lie so many metres east and south of a place."""
    for part in ("A", "B", "labelA", "labelB"):
        bands = 3 if part in "AB" else 1
        (folder / part).mkdir(parents=True)
        for number, (east, south) in enumerate(places):
            transform = Affine(1, 0, 500_000 + east, 0, -1, 5_000_000 - south)
            with rasterio.open(
                folder / part / f"{number:05}.tif", "w", driver="GTiff", height=side, width=side, count=bands,
                dtype="uint8", crs="EPSG:32633", transform=transform,
            ) as file:  # fmt: skip
                file.write(np.zeros((bands, side, side), np.uint8))
    return find_layout(folder, SECOND)


def blocks_held(layout: Layout, places: list[tuple[float, float]], side: float) -> tuple[set[tuple[int, int]], ...]:
    """The blocks of ground, `side` metres a side, that train and that validate."""
    parts = names(split_layout(layout))[:2]
    return tuple({tuple(int(each // side) for each in places[int(name)]) for name in part} for part in parts)  # type: ignore[misc]


def test_blocks_of_ground_are_held_out_where_georeferencing_tells(tmp_path: Path) -> None:
    places = [(16.0 * col, 16.0 * row) for row in range(16) for col in range(16)]
    layout = georeferenced(tmp_path, places)
    train, val = blocks_held(layout, places, 64)
    assert train.isdisjoint(val) and len(train | val) == 16 and 2 <= len(val) <= 4
    assert "blocks of ground" in split_layout(layout).notes[0]


def test_no_training_pair_shows_ground_of_one_that_validates(tmp_path: Path) -> None:
    places = [(8.0 * col, 8.0 * row) for row in range(12) for col in range(12)]  # each overlaps its neighbours by half
    split = split_layout(georeferenced(tmp_path, places))
    train, val, _ = names(split)
    for mine in train:
        for other in val:
            apart = [abs(a - b) for a, b in zip(places[int(mine)], places[int(other)], strict=True)]
            assert max(apart) >= 16, (mine, other)
    assert val and len(train) + len(val) < len(places)
    assert f"{len(places) - len(train) - len(val)} that overlap them are left out" in split.notes[0]
