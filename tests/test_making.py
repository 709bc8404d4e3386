"""Products made while strips come: the same bytes as those made afterwards, and nothing left of those given up."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofcs import mosaic
from geofcs.classes import SECOND
from geofcs.errors import ComputeError, VerificationError
from geofcs.making import Count, Making
from geofcs.meanwhile import MadeMeanwhile, Maker, making_meanwhile
from geofcs.mosaic import Mosaic
from geofcs.product import products_of
from geofcs.strips import Layers, Strip, read_strip, strips_of, write_strip
from geofcs.tiles import Lattice
from geofcs.wanted import Wanted
from tests import outputs

GRID = replace(outputs.GRID, height=2600, width=2100)
"""Two cells of a raster, nine blocks of polygons."""

DATE = "2026-01-02T03:04:05.000Z"


def strips_to_come() -> list[Strip]:
    lattice = Lattice.over(GRID.height, GRID.width, 512, 64)
    return [strip for block in lattice.blocks(2, 2) for strip in strips_of(lattice, block)]


def write(folder: Path, strips: list[Strip]) -> None:
    """Blobs of 20 pixels of random codes; the same whenever they are written."""
    dice, shape = np.random.default_rng(5), (GRID.height // 20, GRID.width // 20)
    highest = (len(SECOND.transitions) + 1, 101, SECOND.count, SECOND.count)
    bands = np.stack([np.kron(dice.integers(0, high, shape), np.ones((20, 20), int)) for high in highest])
    for each in strips:
        part = bands[:, each.top : each.top + each.height, each.left : each.left + each.width]
        write_strip(folder, each, part.astype(SECOND.code_dtype))


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """All products of strips that are not there yet."""
    for name in ("out", "strips"):
        (tmp_path / name).mkdir()
    mosaic = Mosaic(tmp_path / "strips", strips_to_come())
    return Wanted(tmp_path / "out", products_of(SECOND, landcover=True), mosaic, GRID, SECOND, 3, DATE, {})


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def finish(making: Making | MadeMeanwhile, products: Wanted) -> int:
    """Returns how many pixels of polygons were told of."""
    told = [0]
    making.all_strips_are_there()
    making.finish_rasters(lambda _: None, lambda _: None)
    making.finish_polygons(lambda units: told.append(units))
    return sum(told)


def test_products_are_the_same_to_the_byte_whenever_their_strips_come(wanted: Wanted, tmp_path: Path) -> None:
    strips = list(wanted.strips.strips)
    random.Random(3).shuffle(strips)
    with making_meanwhile(wanted) as making:
        for each in strips:
            write(wanted.strips.folder, [each])
            time.sleep(0.02)
        assert finish(making, wanted) == GRID.height * GRID.width
    afterwards = replace(wanted, folder=tmp_path / "afterwards")
    afterwards.folder.mkdir()
    with Making(afterwards) as making:
        making.begin(afterwards.products)
        assert finish(making, afterwards) == GRID.height * GRID.width
    assert len(hashes(wanted.folder)) == 4 + 3 + 1
    assert hashes(wanted.folder) == hashes(afterwards.folder)


def test_most_is_done_before_the_last_strip_comes(wanted: Wanted) -> None:
    strips = list(wanted.strips.strips)
    write(wanted.strips.folder, strips[:-1])
    with Making(replace(wanted, threads=10)) as making:  # some are free while others wait
        making.begin(wanted.products)
        tiles = [wanted.folder / f"{product.file_name}.tiles.tmp" for product in wanted.products]
        end = time.monotonic() + 10
        while making._done._before == 0 or not all(path.stat().st_size for path in tiles):
            assert time.monotonic() < end, "nothing is done yet"
            time.sleep(0.02)
        write(wanted.strips.folder, strips[-1:])
        finish(making, wanted)


def test_a_strip_is_decoded_once_for_rasters_and_polygons_together(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(wanted.strips.folder, list(wanted.strips.strips))
    decoded: Counter[Strip] = Counter()

    def read(folder: Path, strip: Strip) -> Layers:
        decoded[strip] += 1
        return read_strip(folder, strip)

    monkeypatch.setattr(mosaic, "read_strip", read)
    with Making(wanted) as making:
        making.begin(wanted.products)
        finish(making, wanted)
    assert set(decoded) == set(wanted.strips.strips)
    assert set(decoded.values()) == {1}


@pytest.mark.parametrize("strips_there", [0, 3])
def test_nothing_is_left_of_what_is_given_up_and_nobody_waits_on(wanted: Wanted, strips_there: int) -> None:
    write(wanted.strips.folder, list(wanted.strips.strips)[:strips_there])
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Making(wanted) as making:
        making.begin(wanted.products)
        time.sleep(0.2)
        raise ZeroDivisionError
    assert not list(wanted.folder.iterdir())
    assert threading.active_count() == before


def test_a_strip_that_never_came_is_named(wanted: Wanted) -> None:
    strips = list(wanted.strips.strips)
    write(wanted.strips.folder, strips[1:])
    with making_meanwhile(wanted) as making, pytest.raises(VerificationError, match=strips[0].name):
        finish(making, wanted)


def begun(wanted: Wanted) -> None:
    """Come back when processes have begun all of their files."""
    expected, end = len(wanted.products) + 1, time.monotonic() + 30
    while len(list(wanted.folder.iterdir())) < expected:
        assert time.monotonic() < end, "it does not begin"
        time.sleep(0.05)


def test_processes_that_are_told_to_end_leave_nothing(wanted: Wanted) -> None:
    with pytest.raises(ZeroDivisionError), making_meanwhile(wanted):
        begun(wanted)
        raise ZeroDivisionError
    assert not list(wanted.folder.iterdir())


@pytest.mark.parametrize("part", ["rasters", "polygons"])
def test_a_process_that_is_killed_ends_the_run_in_a_line(wanted: Wanted, part: str) -> None:
    with making_meanwhile(wanted) as making:
        begun(wanted)
        maker: Maker = getattr(making, f"_{part}")
        maker._process.kill()
        write(wanted.strips.folder, list(wanted.strips.strips))
        with pytest.raises(ComputeError, match=rf"the process that makes {part} was ended \(exit code -9\)"):
            finish(making, wanted)


def test_processes_whose_run_is_killed_leave_at_once(wanted: Wanted) -> None:
    with making_meanwhile(wanted) as making:
        begun(wanted)
        for maker in (making._rasters, making._polygons):
            maker._connection.close()
            assert maker._process.wait(5) == ComputeError.exit_code


def test_a_listener_that_comes_late_is_told_of_everything() -> None:
    count, heard = Count(), list[int]()
    count(3)
    count(4)
    count.tell(heard.append)
    count(5)
    assert heard == [7, 5]
