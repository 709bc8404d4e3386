"""Configs: every key is there and explained, what is wrong is named, and "published" is what was published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from geofcs.classes import SCHEMES
from geofcs.errors import InputError, UsageError
from geofcs.model.build import ARCHITECTURES
from geofcs.model.config import STATISTICS
from geofcs.model.sizes import changemamba, mamba_fcs, scannet
from geofcs.training.config import ModelConfig, configs_folder, known_keys, read_config, recipe_file, write_config
from geofcs.training.schedules import learning_rate
from geofcs.training.sets import DATASETS
from geofcs.training.start import SIZED, model_sizes
from geofcs.training.step import loss_weights

SHIPPED = sorted(configs_folder().glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_key_of_a_shipped_config_is_there_and_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    keys, section = [], ""
    for before, line in zip(["", *lines], lines, strict=False):
        if line.endswith(":") and not line.startswith(" "):
            section = line[:-1]
        elif line.startswith("  ") and not line.startswith("  #"):
            keys.append(f"{section}.{line.split(':')[0].strip()}")
            assert before.startswith("  # "), f"{keys[-1]} is not explained"
    assert keys == known_keys()
    config = read_config(path)
    assert config.data.dataset in DATASETS
    assert config.data.folder is None
    architecture = config.model.architecture
    dataset, _, recipe = path.stem.removeprefix(f"{architecture}_").partition("_")
    assert dataset == config.data.dataset
    assert recipe_file(dataset, recipe or None, architecture) == path
    sizes = model_sizes(config.model, SCHEMES[config.data.classes or "second"])
    assert sizes.architecture == architecture


def test_every_architecture_can_be_trained() -> None:
    assert SIZED.keys() == ARCHITECTURES.keys()
    assert set(get_args(ModelConfig.model_fields["architecture"].annotation)) == ARCHITECTURES.keys()


def test_a_setting_replaces_one_key_and_nothing_else() -> None:
    path = recipe_file("second", None)
    plain, changed = read_config(path), read_config(path, ["train.lr=5e-5", "model.depths=[1,1,2,1]"])
    assert changed.train.lr == 5e-5
    assert changed.model.depths == (1, 1, 2, 1)
    assert changed.model_copy(update={"train": plain.train, "model": plain.model}) == plain


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("train.lrr=1", "train.lr"),
        ("loss.sekk=1", "loss.sek"),
        ("augment.lr=1", "train.lr"),
        ("trian.lr=1", "train.lr"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(setting: str, meant: str) -> None:
    with pytest.raises((InputError, UsageError), match=rf"there is no key .*; did you mean {meant}\?"):
        read_config(recipe_file("second", None), [setting])


def test_an_unknown_key_like_no_other_is_refused_with_the_keys_of_its_section() -> None:
    with pytest.raises(InputError, match=r"there is no key train\.learning_rate; train has seed, .* lr, .* devices$"):
        read_config(recipe_file("second", None), ["train.learning_rate=1"])


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        recipe_file("second", None)
        .read_text()
        .replace("  iterations: 100000", "  iteration: 5")
        .replace("lr: ", "lr: -")
    )
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_config(tmp_path / "mine.yaml")
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "mine.yaml"))
    assert "train.iterations is missing" in said
    assert "there is no key train.iteration; did you mean train.iterations?" in said
    assert "train.lr: input should be greater than 0" in said
    assert "\n" not in said


@pytest.mark.parametrize("setting", ["lr=1", "train.lr", "train.=1", "=1"])
def test_a_setting_that_is_none_is_refused_with_an_example(setting: str) -> None:
    with pytest.raises(UsageError, match=r"train\.lr=5e-5"):
        read_config(recipe_file("second", None), [setting])


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not YAML"), ("", "holds no keys"), ("- 1", "holds no keys")])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_config(tmp_path / "mine.yaml")


def test_a_config_that_is_dumped_is_read_as_the_same(tmp_path: Path) -> None:
    config = read_config(recipe_file("synthetic", None), ["data.folder=/some where/'else'", "train.clip=null"])
    write_config(tmp_path / "config.yaml", config)
    assert read_config(tmp_path / "config.yaml") == config


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="landsat --recipe published"):
        recipe_file("synthetic", "published")


def test_a_recipe_that_a_model_lacks_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"synthetic --model changemamba; known: .*second --model changemamba"):
        recipe_file("synthetic", None, "changemamba")


@pytest.mark.parametrize("dataset", ["landsat", "second"])
def test_changemamba_is_trained_as_published_but_judged_on_held_out_pairs(dataset: str) -> None:
    config = read_config(recipe_file(dataset, None, "changemamba"))
    train, augment = config.train, config.augment
    assert (train.batch, train.iterations, train.lr, train.weight_decay) == (16, 50_000, 1e-4, 5e-4)
    assert (train.clip, train.ema, train.warmup) == (None, None, 0)
    assert [learning_rate(train, at) * 1e4 for at in (0, 9_999, 10_000, 49_999)] == [1, 1, 1 / 2, 1 / 16]
    assert not config.data.published_protocol
    assert (augment.flip, augment.rotate) == (0.5, True)
    assert (augment.swap, augment.sensors, augment.brightness, augment.contrast, augment.saturation) == (0,) * 5
    assert model_sizes(config.model, SCHEMES[dataset]) == changemamba("base", SCHEMES[dataset].count)


PUBLISHED = {"landsat": (416, 10, 160_000, 0.0), "second": (512, 2, 400_000, 0.5)}
"""Crop, batch, iterations and probability of a swap, as the paper and its code have them."""


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_published_recipe_is_the_published_one(dataset: str) -> None:
    config = read_config(recipe_file(dataset, "published"))
    train, augment = config.train, config.augment
    assert (config.data.crop, train.batch, train.iterations, augment.swap) == PUBLISHED[dataset]
    assert (train.weight_decay, train.clip, train.ema, train.warmup) == (5e-4, None, None, 0)
    assert (train.optimiser, train.lr, train.schedule, train.halve_every) == ("adamw", 1e-4, "halving", 10_000)
    assert (train.accumulate, config.validation.best) == (1, "sek")
    assert config.data.published_protocol
    assert (augment.flip, augment.rotate, augment.sensors) == (0.5, True, 0)
    assert (augment.brightness, augment.contrast, augment.saturation) == (0.1, 0.1, 0.05)
    sizes = model_sizes(config.model, SCHEMES[dataset])
    assert sizes == mamba_fcs("base", SCHEMES[dataset].count)


SCANNET = {"landsat": (416, 8_950), "second": (512, 14_850)}
"""Crop and iterations of its 50 epochs."""


@pytest.mark.parametrize("dataset", SCANNET)
def test_scannets_recipe_is_the_published_one(dataset: str) -> None:
    config = read_config(recipe_file(dataset, None, "scannet"))
    train, weights = config.train, loss_weights(config.loss, 0)
    assert (config.data.crop, train.iterations) == SCANNET[dataset]
    assert (train.optimiser, train.lr, train.weight_decay, train.batch) == ("sgd", 0.1, 5e-4, 8)
    assert learning_rate(train, train.iterations // 2) == pytest.approx(0.1 * 0.5**1.5)
    assert (weights.ce_cover, weights.bce_change, weights.consistency, weights.margin) == (0.5, 1, 1, 0.1)
    assert not any((weights.ce_change, weights.lovasz_change, weights.lovasz_cover, weights.similarity, weights.sek))
    assert (config.loss.pseudo_from, config.validation.best) == (0.6, "f_scd")
    sizes = model_sizes(config.model, SCHEMES[dataset])
    assert sizes == replace(scannet("resnet34", SCHEMES[dataset].count), normalisation=STATISTICS[dataset])


@pytest.mark.parametrize("dataset", PUBLISHED)
def test_the_published_rate_halves_every_ten_thousand_iterations(dataset: str) -> None:
    train = read_config(recipe_file(dataset, "published")).train
    for iteration in (0, 1, 9_999, 10_000, 19_999, 20_000, 105_000, 159_999):
        assert learning_rate(train, iteration) == 1e-4 / 2 ** (iteration // 10_000)
    assert learning_rate(train, 140_000) < 1e-8


def test_the_published_sek_term_comes_late_on_landsat_and_at_once_on_second() -> None:
    landsat, second = (read_config(recipe_file(dataset, "published")).loss for dataset in ("landsat", "second"))
    assert [loss_weights(landsat, at).sek for at in (0, 149_999, 150_000)] == [0, 0, 0.5]
    assert loss_weights(second, 0).sek == 0.5
    for loss in (landsat, second):
        weights = loss_weights(loss, 150_000)
        assert (weights.ce_change, weights.ce_cover, weights.lovasz_change, weights.lovasz_cover) == (1, 0.5, 0.5, 0.5)
        assert (weights.similarity, weights.absent_classes) == (0.05, True)


@pytest.mark.parametrize("name", ["landsat", "second", "synthetic"])
def test_the_default_rate_warms_up_and_falls_to_nothing_at_the_end_and_not_before(name: str) -> None:
    train = read_config(recipe_file(name, None)).train
    rates = [learning_rate(train, round(share * (train.iterations - 1))) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert rates[0] == train.lr / train.warmup
    assert learning_rate(train, train.warmup) == train.lr
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[3] > 0.1 * train.lr
    assert rates[4] < 1e-4 * train.lr


def test_the_polynomial_schedule_falls_from_the_rate_to_zero() -> None:
    train = read_config(recipe_file("second", None), ["train.schedule=polynomial", "train.warmup=0"]).train
    assert learning_rate(train, 0) == train.lr
    assert learning_rate(train, train.iterations // 2) == pytest.approx(train.lr * 0.5**0.9)
    assert learning_rate(train, train.iterations) == 0
