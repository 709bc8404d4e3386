"""Regions of too many vertices come in pieces: together they are the region, and no other is touched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofcs.errors import VerificationError
from geofcs.vector import pieces
from geofcs.vector.pieces import Cut
from geofcs.vector.polygonize import polygonize
from geofcs.vector.stream import RegionStream
from tests.torture.faults import POLYGONS, tell
from tests.vector.rasters import Codes, Found, regions_in_blocks, write_raster
from tests.vector.test_seams import random_rasters, sieve, spiral


def vertices_of(polygon: shapely.Polygon) -> int:
    """Without the vertex that closes each ring."""
    return int(shapely.get_num_coordinates(polygon)) - 1 - len(polygon.interiors)


def check(codes: Codes, side: int, cut: Cut, percent: Codes | None = None) -> list[Found]:
    """Everything that pieces must be; returns all that was found, in order."""
    whole = {each.first: each for each in regions_in_blocks(codes, side, percent)}
    found = sorted(regions_in_blocks(codes, side, percent, cut=cut), key=lambda region: region.first)
    large = {first for first, each in whole.items() if vertices_of(each.polygon) > cut.most_vertices}
    others = [each for each in found if each.whole not in large]
    assert [same(each) for each in others] == [same(whole[first]) for first in sorted(whole.keys() - large)]
    for first in large:
        region, parts = whole[first], [each for each in found if each.whole == first]
        assert shapely.union_all([each.polygon for each in parts]).equals(region.polygon)
        assert sum(each.pixels for each in parts) == region.pixels == sum(each.polygon.area for each in parts)
        assert {each.code for each in parts} == {region.code}
        for name in ("percent_sum", "percent_pixels"):
            assert {getattr(each, name) for each in parts} == {getattr(region, name)}
        for each in parts:
            assert each.polygon.is_valid
            assert each.area_m2 == each.pixels == each.polygon.area
            left, top, right, bottom = each.polygon.bounds
            assert (left // cut.cell, top // cut.cell) == ((right - 1) // cut.cell, (bottom - 1) // cut.cell)
            assert each.first == first_pixel(each.polygon, codes.shape)
    assert len({each.first for each in found}) == len(found)
    return found


def first_pixel(polygon: shapely.Polygon, shape: tuple[int, ...]) -> int:
    return int(np.argmax(rasterio.features.rasterize([(polygon, 1)], shape)))


cuts = st.builds(Cut, most_vertices=st.integers(4, 60), cell=st.integers(3, 40))


def check_both_ways(raster: tuple[Codes, int], other: tuple[Codes, int], cut: Cut) -> None:
    """Block by block and at once."""
    codes, side = raster
    percent = np.resize(other[0], codes.shape)
    whole_at_once = check(codes, max(codes.shape), cut, percent)
    assert [same(each) for each in check(codes, side, cut, percent)] == [same(each) for each in whole_at_once]


@settings(max_examples=20, deadline=None)
@given(random_rasters(), random_rasters(), cuts)
def test_pieces_are_the_region_however_the_raster_is_cut(
    raster: tuple[Codes, int], other: tuple[Codes, int], cut: Cut
) -> None:
    check_both_ways(raster, other, cut)


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(random_rasters(), random_rasters(), cuts)
def test_pieces_of_many_random_rasters_do_not_depend_on_how_these_are_cut(
    raster: tuple[Codes, int], other: tuple[Codes, int], cut: Cut
) -> None:
    check_both_ways(raster, other, cut)


def same(region: Found) -> tuple[object, ...]:
    """What must not depend on how the raster was cut into blocks."""
    return (
        region.code, region.first, region.whole, region.pixels, region.percent_sum, region.percent_pixels,
        shapely.to_wkb(shapely.normalize(region.polygon)),
    )  # fmt: skip


@pytest.mark.long
@settings(max_examples=2000, deadline=None)
@given(random_rasters(), cuts)
def test_pieces_of_many_random_rasters_are_their_regions(raster: tuple[Codes, int], cut: Cut) -> None:
    check(*raster, cut)
    tell(POLYGONS, {"cut into pieces": 1})


@pytest.mark.parametrize("draw", [spiral, sieve])
def test_one_region_over_everything_becomes_a_piece_or_more_per_cell(draw: Callable[[int], Codes]) -> None:
    found = check(draw(41), 16, Cut(50, 10))
    assert len([each for each in found if each.code == 1]) >= 16


def test_pieces_in_a_geopackage_tell_their_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.zeros((40, 60), np.uint8)
    codes[5:35, 2:50] = 7
    codes[6:34:2, 3:49:2] = 0
    codes[0, 55:] = 9
    change = write_raster(tmp_path / "change.tif", codes)
    counts = polygonize(change, tmp_path / "whole.gpkg")
    module = sys.modules[polygonize.__module__]
    monkeypatch.setattr(module, "RegionStream", partial(RegionStream, cut=Cut(100, 16)))
    cut = polygonize(change, tmp_path / "cut.gpkg")
    assert (counts.polygons, counts.pixels_per_code) == (2, cut.pixels_per_code)
    table = pyogrio.read_dataframe(tmp_path / "cut.gpkg", layer="changes", fid_as_index=True)
    assert cut.polygons == len(table) == 1 + 3 * 4
    assert set(table[table.code == 7].region) == {1 + 5 * 60 + 2}
    assert table[table.code == 9].region.tolist() == table.index[table.code == 9].tolist() == [1 + 55]
    assert table[table.code == 7].area_m2.sum() == pytest.approx(
        pyogrio.read_dataframe(tmp_path / "whole.gpkg", layer="changes").query("code == 7").area_m2.item()
    )


def test_a_piece_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_of_cells = pieces._rows_of_cells

    def all_but_the_first(*arguments: object) -> object:
        rows = rows_of_cells(*arguments)  # type: ignore[arg-type]
        next(rows)
        return rows

    monkeypatch.setattr(pieces, "_rows_of_cells", all_but_the_first)
    with pytest.raises(VerificationError, match="not as large as the region"):
        regions_in_blocks(sieve(41), 16, cut=Cut(50, 10))


@pytest.mark.long
def test_a_region_with_a_million_holes_is_written_in_pieces_that_programs_can_read(tmp_path: Path) -> None:
    codes = np.ones((2000, 2000), np.uint8)
    codes[1::2, 1::2] = 0
    polygonize(write_raster(tmp_path / "change.tif", codes), tmp_path / "x.gpkg")
    table = pyogrio.read_dataframe(tmp_path / "x.gpkg", layer="changes")
    assert (len(table), set(table.region)) == (4, {1})
    assert table.pixels.sum() == np.count_nonzero(codes)
    assert shapely.get_num_interior_rings(table.geometry).sum() > 990_000
    assert max(len(each) for each in shapely.to_wkb(table.geometry)) < 50_000_000
