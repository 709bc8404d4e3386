"""Made-up pairs: the same for the same seed, different from each other, labelled as they should be."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from geofcs.classes import BINARY, LANDSAT, SECOND, ClassScheme
from geofcs.errors import InputError
from geofcs.synthetic import scene_pixels
from geofcs.training.config import WorldsConfig, read_config, recipe_file
from geofcs.training.loading import arrays_of
from geofcs.training.sets import sets_of
from geofcs.training.worlds import KEPT, WINDOWS, Remembered, Worlds, drawn, remembered

CONFIG = read_config(recipe_file("synthetic", None)).worlds
COARSE = CONFIG.model_copy(update={"gsd": (10.0, 10.0), "coarse": 1.0, "change": (3.0, 3.0)})
FINE = CONFIG.model_copy(update={"gsd": (1.0, 1.0), "coarse": 0.0})


def worlds(config: WorldsConfig = FINE, name: str = "train", seed: int = 1, pairs: int | None = None) -> Worlds:
    return Worlds(config, SECOND, 48, seed, name, pairs)


@pytest.mark.parametrize(("config", "scheme"), [(FINE, SECOND), (COARSE, SECOND), (COARSE, LANDSAT)])
def test_a_pair_is_the_same_whenever_and_by_whomever_it_is_read(config: WorldsConfig, scheme: ClassScheme) -> None:
    made = Worlds(config, scheme, 48, 1, "train", None)
    pair = made[5]
    again = pickle.loads(pickle.dumps(made))[5]  # noqa: S301, our own
    assert pair.name == again.name
    assert all(np.array_equal(a, b) for a, b in zip(arrays_of(pair), arrays_of(again), strict=True))


def test_pairs_of_other_seeds_sets_and_numbers_are_others() -> None:
    images = [worlds()[0].t1, worlds(seed=2)[0].t1, worlds(name="validation")[0].t1, worlds()[1].t1, worlds()[99].t1]
    for number, image in enumerate(images):
        assert all(not np.array_equal(image, other) for other in images[number + 1 :])


def test_labels_are_ids_where_the_land_changed_and_zero_elsewhere() -> None:
    changed = 0
    for index in range(0, 8 * WINDOWS, WINDOWS):
        pair = worlds()[index]
        assert pair.t1.shape == pair.t2.shape == (3, 48, 48)
        assert {each.dtype for each in arrays_of(pair)} == {np.dtype(np.uint8)}
        for label in (pair.label1, pair.label2):
            assert np.array_equal(label > 0, pair.change == 1)
            assert label.max() < SECOND.count
        changed += int(pair.change.sum())
    assert changed > 0


def test_coarse_worlds_bear_the_ids_of_the_scheme_that_is_asked_for() -> None:
    coarse = CONFIG.model_copy(update={"gsd": (20.0, 20.0), "coarse": 1.0, "recolour": 0.0, "change": (5.0, 5.0)})
    ids: dict[str, set[int]] = {"second": set(), "landsat": set()}
    for index in range(0, 10 * WINDOWS, WINDOWS):
        for scheme in (SECOND, LANDSAT):
            pair = Worlds(coarse, scheme, 48, 1, "train", None)[index]
            ids[scheme.name] |= set(np.unique(pair.label1).tolist())
    meant = {0: 0, 1: 1, 2: 2, 3: 5, 4: 4}
    assert {meant[number] for number in ids["landsat"]} == ids["second"]


def test_worlds_cannot_be_labelled_in_a_scheme_without_land_cover() -> None:
    with pytest.raises(InputError, match="use second or landsat"):
        Worlds(FINE, BINARY, 48, 1, "train", None)


def test_resolutions_and_strengths_stay_where_the_config_says_and_fill_it() -> None:
    from random import Random

    parameters = [drawn(CONFIG, SECOND, Random(seed)) for seed in range(400)]
    sizes = np.array([each.gsd for each in parameters])
    assert sizes.min() < 0.4
    assert sizes.max() > 25
    assert 0.2 < np.mean([each.is_coarse for each in parameters]) < 0.4
    assert all(
        0 <= each.nuisances.haze <= CONFIG.nuisances[1] and CONFIG.change[0] <= each.change <= CONFIG.change[1]
        for each in parameters
    )


def test_without_new_tones_the_images_are_the_generators_own() -> None:
    from random import Random

    from geofcs.synthetic.noise import key_of

    config = FINE.model_copy(update={"recolour": 0.0})
    dice = Random(key_of(1, "worlds", "train", 0))
    pixels = scene_pixels(drawn(config, SECOND, dice), dice.randrange(1 << 20), dice.randrange(1 << 20), 48, 48)
    pair = worlds(config)[0]
    assert np.array_equal(pair.t1, pixels.t1)
    assert np.array_equal(pair.label2, pixels.land_cover_t2 * (pixels.codes > 0))
    assert not np.array_equal(worlds()[0].t1, pixels.t1)


def test_counted_pairs_are_made_up_once_and_may_be_larger_than_a_crop() -> None:
    config = read_config(recipe_file("synthetic", None), ["worlds.pairs=3", "worlds.side=48", "data.crop=32"])
    config = config.model_copy(update={"worlds": config.worlds.model_copy(update={"gsd": (1.0, 1.0), "coarse": 0.0})})
    pairs = sets_of(config).train
    assert len(pairs) == 3
    assert pairs[2].t1.shape == (3, 48, 48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worlds, "__getitem__", lambda *_: pytest.fail("made up twice"))
        kept = pickle.loads(pickle.dumps(pairs))[2]  # noqa: S301, our own: another process's
    assert kept.name == "train-2"
    fresh = Worlds(config.worlds, SECOND, 48, config.train.seed, "train", 3)[2]
    assert all(np.array_equal(a, b) for a, b in zip(arrays_of(kept), arrays_of(fresh), strict=True))


def test_what_a_killed_process_kept_is_cleared_and_what_a_living_one_keeps_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    dead, alive, foreign = (tmp_path / f"{KEPT}-{name}" for name in (f"{ended.pid}-x", f"{os.getpid()}-x", "y"))
    for folder in (dead, alive, foreign):
        folder.mkdir()
    kept = remembered(worlds(pairs=3)).folder
    assert not dead.exists()
    assert alive.exists()
    assert foreign.exists()
    assert kept.parent == tmp_path


def test_where_nothing_can_be_kept_pairs_are_made_up_again(tmp_path: Path) -> None:
    pairs = Remembered(worlds(pairs=3), tmp_path / "nowhere")
    assert all(np.array_equal(a, b) for a, b in zip(arrays_of(pairs[1]), arrays_of(pairs[1]), strict=True))


def test_houses_are_drawn_as_coarse_as_the_config_says() -> None:
    from random import Random

    towns = CONFIG.model_copy(update={"gsd": (4.0, 30.0), "coarse": 0.0, "fine_to": 9.0})
    sizes = [drawn(towns, SECOND, Random(seed)).gsd for seed in range(100)]
    assert 8 < max(sizes) < 9.6, "to the nearest quarter of an octave"
