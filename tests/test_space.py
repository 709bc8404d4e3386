"""Room on the disk: the bounds that are told, and what is said when it runs out."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from geofcs import space
from geofcs.errors import OutputError, VerificationError
from geofcs.space import NowAndThen, Space, told

MIB = 2**20
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def needed(tmp_path: Path) -> Space:
    return Space(tmp_path / "out.partial", strips=600 * MIB, rasters=300 * MIB, polygons=1000, pieces=4)


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10 * free, 9 * free, free))


def test_a_disk_with_less_than_the_least_is_refused_with_least_and_worst(
    needed: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, needed.at_least - 1)
    with pytest.raises(OutputError, match=r"396.9 KiB free .* needs 396.9 KiB more at least, and 1.4 GiB at worst"):
        needed.check()


def test_a_disk_with_more_than_the_least_is_tried_and_the_user_warned(
    needed: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, needed.at_least)
    assert "same command again" in needed.check()
    leave(monkeypatch, needed.at_most)
    assert needed.check() == f"{told(needed.at_most)} of disk at worst, {told(needed.at_most)} free"


def test_what_lies_there_already_need_not_be_free(needed: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = needed.staging / "strips" / "plan"
    folder.mkdir(parents=True)
    (folder / "0.tif").write_bytes(bytes(needed.at_least))
    leave(monkeypatch, 0)
    needed.check()


def test_rasters_have_to_have_the_room_that_strips_took_so_far_and_the_line_says_what_is_missing(
    needed: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = needed.staging / "strips" / "plan"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}.tif").write_bytes(bytes(3 * MIB))
        leave(monkeypatch, (number + 1) * 3 * MIB)
        needed.check_rasters()
    (folder / "2.tif").write_bytes(bytes(3 * MIB))
    with pytest.raises(
        OutputError, match=r"out.partial: no room for the rasters, 3.0 MiB missing at least: free some "
    ):
        needed.check_rasters()
    (needed.staging / "change.tif").write_bytes(bytes(3 * MIB))
    needed.check_rasters()


def test_rasters_have_to_have_the_least_room_that_they_take_before_there_is_a_strip(
    needed: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, needed.at_least)
    needed.check_rasters()
    leave(monkeypatch, needed.at_least - 1)
    with pytest.raises(OutputError, match="1 bytes missing"):
        needed.check_rasters()


def test_looks_are_a_second_apart_and_take_no_more_than_a_hundredth_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, looks = 0.0, []
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def look() -> None:
        nonlocal now
        looks.append(now)
        now += 0.25 if len(looks) == 3 else 0.0

    occasionally = NowAndThen(look)
    while now < 40:
        occasionally()
        now += 0.25
    assert looks == [0, 1, 2, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39]


def test_a_failure_to_write_tells_what_is_free_and_what_is_needed(
    needed: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 12 * 1024)
    with (
        pytest.raises(OutputError, match=r"no room \(12.0 KiB free, 1.4 GiB more needed at worst\)"),
        needed.explained(),
    ):
        raise OutputError("no room")
    folder = needed.staging / "strips" / "plan"
    folder.mkdir(parents=True)
    (folder / "0.tif").write_bytes(bytes(MIB))
    with pytest.raises(OutputError, match=r"about 23.0 MiB more needed going by what is finished"), needed.explained():
        raise OutputError("no room")


def test_other_failures_pass_as_they_are(needed: Space) -> None:
    with pytest.raises(VerificationError, match=r"^broken$"), needed.explained():
        raise VerificationError("broken")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")]
)
def test_sizes_are_told_in_units_that_fit(count: int, text: str) -> None:
    assert told(count) == text


def test_free_space_is_that_of_the_first_folder_that_exists(tmp_path: Path) -> None:
    assert space.free_bytes(tmp_path / "a" / "b") > 0
