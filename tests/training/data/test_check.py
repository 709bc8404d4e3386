"""`geofcs data check` finds what is wrong and what leaks, `geofcs data convert` writes what is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from geofcs.classes import LANDSAT, SECOND
from geofcs.cli.app import app
from geofcs.errors import OutputError
from geofcs.training.data.check import Findings, check_layout
from geofcs.training.data.convert import convert
from geofcs.training.data.dataset import open_dataset
from geofcs.training.data.layouts import find_layout
from tests.training.folders import (
    Array,
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

SIDE = 96


def checked(folder: Path) -> Findings:
    return check_layout(find_layout(folder, SECOND))


def turned(pair: Made, turn: Callable[[Array], Array]) -> Made:
    return Made(*(np.ascontiguousarray(turn(each)) for each in pair))


def part(pair: Made, row: int, col: int) -> Made:
    return turned(pair, lambda each: each[row : row + SIDE, col : col + SIDE])


def occluded(pair: Made) -> Made:
    t1, t2 = pair.t1.copy(), pair.t2.copy()
    t1[20:60, 30:80], t2[20:60, 30:80] = 0, 0
    return pair._replace(t1=t1, t2=t2)


COPIES: dict[str, tuple[Callable[[Made], Made], str]] = {
    "same": (lambda pair: pair, "the same pixels"),
    "turned": (lambda pair: turned(pair, np.rot90), "turned by 270 degrees"),
    "flipped": (lambda pair: turned(pair, np.fliplr), "flipped"),
    "upside-down": (lambda pair: turned(pair, np.flipud), "flipped and turned by 180 degrees"),
    "swapped": (lambda pair: pair._replace(t1=pair.t2, t2=pair.t1), "the same pixels, dates swapped"),
    "cropped": (lambda pair: turned(pair, lambda each: each[16:64, 30:90]), "a crop, an overlap or partly covered"),
    "cropped and turned": (lambda pair: turned(pair, lambda each: np.rot90(each[16:64, 30:90])), "a crop"),
    "occluded": (occluded, "a crop, an overlap or partly covered"),
    "brighter and turned": (
        lambda pair: turned(pair._replace(t1=pair.t1 + 3, t2=pair.t2 + 3), np.rot90),
        "a near copy",
    ),
    "brighter": (lambda pair: pair._replace(t1=pair.t1 + 3, t2=pair.t2 + 3), "a near copy"),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_in_the_test_set_is_found_and_named(tmp_path: Path, how: str) -> None:
    make, said = COPIES[how]
    pairs = [(f"{number:05}", made(number, side=SIDE)) for number in range(6)]
    second_as_distributed(tmp_path / "train", pairs)
    write_list(tmp_path / "val_info.txt", ["00005"])
    second_as_distributed(tmp_path / "test", [("copy", make(pairs[2][1])), ("new", made(99, side=SIDE))])
    findings = checked(tmp_path)
    assert [(each.first_split, each.first, each.second_split, each.second) for each in findings.leaks] == [
        ("train", "00002", "test", "copy")
    ]
    assert said in findings.leaks[0].how
    assert findings.copies == findings.leaks


def test_scenes_that_overlap_are_found_and_unlike_ones_are_not(tmp_path: Path) -> None:
    world = made(0, side=256)
    places = [("a", 0, 0), ("b", 40, 30), ("c", 150, 150)]
    second_as_distributed(tmp_path, [(name, part(world, row, col)) for name, row, col in places])
    findings = checked(tmp_path)
    assert [(each.first, each.second) for each in findings.copies] == [("a", "b")]


def test_blank_images_are_not_copies_of_each_other(tmp_path: Path) -> None:
    blank = Made(*(np.full((SIDE, SIDE, 3), 255, np.uint8),) * 2, *(np.zeros((SIDE, SIDE), np.uint8),) * 2)
    second_as_distributed(tmp_path, [("a", blank), ("b", blank)])
    assert not checked(tmp_path).copies


def test_noise_of_a_few_colours_is_not_taken_for_copies(tmp_path: Path) -> None:
    pairs = []
    for seed in range(3):
        dice = np.random.default_rng(seed)
        images = [60 * dice.integers(0, 4, (SIDE, SIDE, 1), np.uint8).repeat(3, 2) for _ in range(2)]
        pairs.append((f"{seed}", made(seed, side=SIDE)._replace(t1=images[0], t2=images[1])))
    second_as_distributed(tmp_path, pairs)
    assert not checked(tmp_path).copies


def test_everything_that_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    pairs = several([f"{number:05}" for number in range(6)])
    second_as_distributed(tmp_path / "train", pairs)
    folder = tmp_path / "train"
    wrong = coloured(pairs[0][1].label1, SECOND)
    wrong[3, 4] = 1
    save(folder / "label1" / "00000.png", wrong)
    save(folder / "label2" / "00000.png", wrong)
    (folder / "im2" / "00001.png").unlink()
    (folder / "im1" / "00002.png").write_bytes(b"not an image")
    label = pairs[3][1].label1.copy()
    label[:2, :3] = 1
    save(folder / "label1" / "00003.png", coloured(label, SECOND))
    save(folder / "im2" / "00004.png", pairs[4][1].t2[:40])
    (folder / "label2" / "00005.png").write_bytes(b"nor is this")
    (folder / "label1" / "00005.png").write_bytes(b"nor is this")
    problems = check_layout(find_layout(tmp_path)).problems
    for part in (
        "im1/00001.png: has no counterpart in im2",
        "label1/00000.png: row 3, column 4 holds (1, 1, 1)",
        "label2/00000.png: row 3, column 4 holds (1, 1, 1)",
        "im1/00002.png: cannot be read as an image",
        "im2/00004.png: has 40 x 48 pixels",
        "label1/00005.png: cannot be read as an image",
        "label2/00005.png: cannot be read as an image",
    ):
        assert any(part in problem for problem in problems), part
    contradiction = next(problem for problem in problems if "no change at the other" in problem)
    assert "label1/00003.png: " in contradiction and "the first at row 0, column 0" in contradiction
    assert len(problems) == 8


def test_a_change_map_that_contradicts_the_classes_is_a_problem_either_way(tmp_path: Path) -> None:
    pair = made(0)
    as_read_by_the_authors(tmp_path / "train", [("a", pair), ("b", made(1)), ("c", made(2))])
    change = np.where(pair.label1 > 0, 255, 0).astype(np.uint8)
    missed = change.copy()
    missed[tuple(np.argwhere(change)[0])] = 0
    save(tmp_path / "train" / "GT_CD" / "a.png", missed)
    problems = checked(tmp_path).problems
    assert len(problems) == 1
    assert "GT_T1/a.png: 1 pixels are unchanged by the change map and have a class at a date" in problems[0]
    save(tmp_path / "train" / "GT_CD" / "a.png", change | 255)
    assert "are changed by the change map and have no class at a date" in checked(tmp_path).problems[0]


def test_sizes_splits_and_classes_are_counted(tmp_path: Path) -> None:
    pairs = several(["a", "b", "c"])
    second_as_distributed(tmp_path / "train", pairs[:2])
    second_as_distributed(tmp_path / "test", pairs[2:])
    write_list(tmp_path / "val_info.txt", ["b"])
    findings = checked(tmp_path)
    assert findings.counts == {"train": 1, "val": 1, "test": 1} and findings.sizes == {(48, 48): 3}
    for date, part in enumerate((2, 3)):
        labels = np.concatenate([pair[part].ravel() for _, pair in pairs])
        assert findings.pixels[date].tolist() == [*np.bincount(labels, minlength=7).tolist(), 0]


def test_copies_by_name_are_counted_apart_and_do_not_leak(tmp_path: Path) -> None:
    pair = made(0, LANDSAT, side=SIDE)
    names = [("1", pair), ("1_rotate", turned(pair, np.rot90)), ("2", made(1, LANDSAT, side=SIDE))]
    with_ids(tmp_path / "train", names)
    findings = check_layout(find_layout(tmp_path, LANDSAT))
    assert findings.counts["left out"] == 1 and len(findings.copies) == 1 and not findings.leaks


def test_the_command_lists_findings_and_its_exit_code_tells(tmp_path: Path) -> None:
    pairs = several([f"{number:05}" for number in range(5)])
    second_as_distributed(tmp_path / "train", pairs)
    second_as_distributed(tmp_path / "test", [("x", pairs[0][1])])
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "-q"])
    assert "leaks across splits: 1" in result.output and "/00000 and test/x: the same pixels" in result.output
    assert "1 leaks" in str(result.exception) and getattr(result.exception, "exit_code", None) == 3
    (tmp_path / "test" / "im1" / "x.png").unlink()
    assert CliRunner().invoke(app, ["data", "check", str(tmp_path), "-q"]).exception


@pytest.mark.parametrize("kind", ["second", "landsat", "levir"])
def test_what_is_converted_reads_the_same(tmp_path: Path, kind: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    pairs = several([f"{number:05}" for number in range(5)], LANDSAT if kind == "landsat" else SECOND)
    if kind == "second":
        second_as_distributed(source / "train", pairs)
    else:
        with_one_label(source / "train", pairs, binary=kind == "levir")
    before = open_dataset(source)
    assert convert(before, out) == {"train": 4, "val": 1, "test": 0}
    after = open_dataset(out)
    assert after.scheme == before.scheme and not after.notes
    for old, new in ((before.train, after.train), (before.val, after.val)):
        for index in range(len(old)):
            assert old[index].name == new[index].name
            for a, b in zip(old[index][:5], new[index][:5], strict=True):
                assert np.array_equal(a, b)
    with pytest.raises(OutputError, match="exists"):
        convert(before, out)


def test_converting_without_leaks_leaves_the_training_copies_out(tmp_path: Path) -> None:
    pairs = [(f"{number:05}", made(number, side=SIDE)) for number in range(5)]
    second_as_distributed(tmp_path / "in" / "train", pairs)
    second_as_distributed(tmp_path / "in" / "test", [("x", turned(pairs[0][1], np.rot90))])
    command = ["data", "convert", str(tmp_path / "in"), str(tmp_path / "out"), "--drop-leaks", "-q"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.exception
    assert "1 leaking pairs left out" in result.output
    dataset = open_dataset(tmp_path / "out")
    assert len(dataset.train) + len(dataset.val) == 4 and len(dataset.test) == 1
    assert not check_layout(find_layout(tmp_path / "out")).leaks
