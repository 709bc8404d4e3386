"""Pixels follow from the parameters and their own coordinates; truth from the two land covers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError
from geofcs.synthetic import NO_NUISANCES, Nuisances, SceneParameters, ScenePixels, scene_pixels
from geofcs.synthetic.surfaces import Cover, Region

WORLDS = {
    "second": SceneParameters(seed=2),
    "second, coarse pixels": SceneParameters(seed=3, gsd=3.1),
    "landsat": SceneParameters(seed=4, scheme=LANDSAT, gsd=30, samples=1),
    "sharp and shifted": SceneParameters(seed=5, nuisances=Nuisances.all_of(3)),
}
ORIGIN, SIDE = (-211, 317), 420


@cache
def whole(name: str) -> ScenePixels:
    return scene_pixels(WORLDS[name], *ORIGIN, SIDE, SIDE)


@cache
def large(scheme: ClassScheme, gsd: float) -> ScenePixels:
    return scene_pixels(SceneParameters(seed=12, scheme=scheme, gsd=gsd, samples=1), 0, 0, 1400, 1400)


def assert_same(left: ScenePixels, right: ScenePixels) -> None:
    for name, ours, theirs in zip(ScenePixels._fields, left, right, strict=True):
        assert np.array_equal(ours, theirs), f"{name} differs"


@settings(max_examples=14, deadline=None)
@given(
    name=st.sampled_from(sorted(WORLDS)), row=st.integers(0, 380), col=st.integers(0, 380),
    height=st.integers(1, 130), width=st.integers(1, 130),
)  # fmt: skip
def test_a_pixel_is_the_same_in_whatever_window_it_is_asked_for(
    name: str, row: int, col: int, height: int, width: int
) -> None:
    height, width = min(height, SIDE - row), min(width, SIDE - col)
    part = scene_pixels(WORLDS[name], ORIGIN[0] + row, ORIGIN[1] + col, height, width)
    cut = (slice(row, row + height), slice(col, col + width))
    assert_same(part, ScenePixels(*(layer[..., *cut] for layer in whole(name))))


@pytest.mark.parametrize("side", [37, 100, 256, 1000])
def test_blocks_of_any_side_put_together_are_the_whole(side: int) -> None:
    parameters, extent = WORLDS["second"], 300
    whole_scene = scene_pixels(parameters, 0, 0, extent, extent)
    rows = []
    for row in range(0, extent, side):
        pieces = [
            scene_pixels(parameters, row, col, min(side, extent - row), min(side, extent - col))
            for col in range(0, extent, side)
        ]
        rows.append([np.concatenate(layers, -1) for layers in zip(*pieces, strict=True)])
    assert_same(ScenePixels(*(np.concatenate(layers, -2) for layers in zip(*rows, strict=True))), whole_scene)


def test_another_seed_is_another_world() -> None:
    ours, theirs = (scene_pixels(SceneParameters(seed=seed), 0, 0, 200, 200) for seed in (1, 2))
    assert (ours.t1 != theirs.t1).mean() > 0.9
    assert not np.array_equal(ours.land_cover_t1, theirs.land_cover_t1)


@pytest.mark.parametrize(("scheme", "gsd"), [(SECOND, 1.0), (LANDSAT, 30.0)])
def test_codes_say_from_what_to_what_the_land_cover_changed(scheme: ClassScheme, gsd: float) -> None:
    pixels = large(scheme, gsd)
    before, after = pixels.land_cover_t1, pixels.land_cover_t2
    changed = pixels.codes > 0
    assert pixels.codes.dtype == scheme.code_dtype
    assert changed[before != after].all()
    assert np.array_equal(pixels.codes[changed], scheme.encode(before, after)[changed])
    building = Cover.BUILDING if scheme == SECOND else Region.BUILDING
    within = changed & (before == after)
    assert within.any()
    assert (before[within] == building).all()
    assert before.min() >= 1
    assert max(before.max(), after.max()) < scheme.count


def test_the_binary_truth_is_where_any_code_stands() -> None:
    codes = scene_pixels(SceneParameters(seed=7, scheme=BINARY), 0, 0, 300, 300).codes
    from_to = scene_pixels(SceneParameters(seed=7, scheme=SECOND), 0, 0, 300, 300).codes
    assert np.array_equal(codes, from_to > 0)
    assert codes.any()


def test_every_kind_of_change_occurs() -> None:
    codes = large(SECOND, 1.0).codes
    c = Cover
    kinds = {
        "built on fields": (c.LOW_VEGETATION, c.BUILDING), "built on bare ground": (c.GROUND, c.BUILDING),
        "demolished": (c.BUILDING, c.GROUND), "replaced": (c.BUILDING, c.BUILDING),
        "garden instead of a house": (c.BUILDING, c.LOW_VEGETATION), "cleared": (c.TREE, c.LOW_VEGETATION),
        "cleared to bare ground": (c.TREE, c.GROUND), "planted": (c.LOW_VEGETATION, c.TREE),
        "stripped": (c.LOW_VEGETATION, c.GROUND), "flooded": (c.LOW_VEGETATION, c.WATER),
        "drained": (c.WATER, c.LOW_VEGETATION), "new playground": (c.LOW_VEGETATION, c.PLAYGROUND),
        "lost playground": (c.PLAYGROUND, c.LOW_VEGETATION),
    }  # fmt: skip
    pixels = {kind: int((codes == SECOND.encode(*ids)).sum()) for kind, ids in kinds.items()}
    assert all(count >= 30 for count in pixels.values()), pixels


@pytest.mark.parametrize(("scheme", "gsd"), [(SECOND, 1.0), (LANDSAT, 30.0)])
def test_most_of_the_land_does_not_change(scheme: ClassScheme, gsd: float) -> None:
    assert 0.03 < (large(scheme, gsd).codes > 0).mean() < 0.15


def test_without_change_nothing_changes() -> None:
    assert not scene_pixels(SceneParameters(seed=7, change=0), 0, 0, 400, 400).codes.any()


@pytest.mark.parametrize("seed", range(4))
def test_nuisances_move_pixels_and_leave_the_truth(seed: int) -> None:
    plain = SceneParameters(seed=seed, nuisances=NO_NUISANCES)
    usual = replace(plain, nuisances=Nuisances())
    ours, theirs = (scene_pixels(each, 500, 0, 256, 256) for each in (plain, usual))
    for layer in ("codes", "land_cover_t1", "land_cover_t2"):
        assert np.array_equal(getattr(ours, layer), getattr(theirs, layer)), layer
    still = ours.codes == 0
    assert np.abs(theirs.t2.astype(int) - ours.t2)[:, still].mean() > 4


def test_without_nuisances_unchanged_land_looks_the_same() -> None:
    pixels = scene_pixels(SceneParameters(seed=7, change=0, nuisances=NO_NUISANCES), 0, 0, 256, 256)
    assert np.array_equal(pixels.t1, pixels.t2)


@pytest.mark.parametrize("name", [each.name for each in fields(Nuisances)])
def test_each_nuisance_alone_changes_the_second_date(name: str) -> None:
    alone = replace(NO_NUISANCES, **{name: 1.0})
    pixels = scene_pixels(SceneParameters(seed=1, change=0, nuisances=alone), 1300, 400, 200, 200)
    assert not pixels.codes.any()
    assert not np.array_equal(pixels.t1, pixels.t2)


def test_images_use_the_range_of_a_byte_without_clipping() -> None:
    for image in large(SECOND, 1.0)[:2]:
        assert 60 < image.mean() < 170
        assert image.std() > 20
        assert ((image == 0) | (image == 255)).mean() < 0.02


def test_averaging_points_keeps_the_world_and_smooths_its_image() -> None:
    one, four = (
        scene_pixels(SceneParameters(seed=2, gsd=4, samples=samples, nuisances=NO_NUISANCES), 0, 0, 120, 120)
        for samples in (1, 4)
    )
    assert (one.land_cover_t1 == four.land_cover_t1).mean() > 0.7
    assert four.t1.std() < one.t1.std()


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="pixel size"):
        SceneParameters(gsd=0)
    with pytest.raises(InputError, match="usual change"):
        SceneParameters(change=-1)
    with pytest.raises(InputError, match="haze"):
        Nuisances(haze=9)
    with pytest.raises(InputError, match="empty"):
        scene_pixels(SceneParameters(), 0, 0, 0, 5)


def test_pixels_are_made_without_rasterio_and_dask() -> None:
    check = (
        "import sys, geofcs.synthetic as s; s.scene_pixels(s.SceneParameters(), 0, 0, 8, 8); "
        "print(*{'rasterio', 'dask', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
