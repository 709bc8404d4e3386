"""Labelled scenes are cut into tiles; validation lies in blocks of its own; truth comes from rasters and polygons."""

from __future__ import annotations

import pickle
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine

from geofcs.classes import BINARY, IGNORE, SECOND
from geofcs.errors import InputError
from geofcs.grid import Grid
from geofcs.synthetic import SceneParameters, scene_pixels
from geofcs.synthetic.write import Extent, write_scenes
from geofcs.training.data.dataset import open_dataset
from geofcs.training.data.scene_tiles import SceneTiles
from geofcs.training.data.truth import labels_in, plan_truth
from geofcs.vector.polygonize import polygonize

PARAMETERS = SceneParameters(seed=3, gsd=2.0)
SIDE = 320


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    write_scenes(folder, PARAMETERS, Extent(SIDE, SIDE))
    return folder


def tiles_of(folder: Path, tile: int = 32) -> tuple[SceneTiles, SceneTiles]:
    dataset = open_dataset(folder, tile=tile)
    assert isinstance(dataset.train, SceneTiles) and isinstance(dataset.val, SceneTiles)
    return dataset.train, dataset.val


def test_a_tile_holds_the_scenes_pixels_and_their_labels(scene: Path) -> None:
    train, _ = tiles_of(scene)
    place, sample = train.places[5], train[5]
    truth = scene_pixels(PARAMETERS, place.row, place.col, 32, 32)
    assert np.array_equal(sample.t1, truth.t1) and np.array_equal(sample.t2, truth.t2)
    assert np.array_equal(sample.change, truth.codes > 0)
    for label, cover in ((sample.label1, truth.land_cover_t1), (sample.label2, truth.land_cover_t2)):
        assert np.array_equal(label, np.where(truth.codes > 0, cover, 0))


def test_tiles_of_train_and_validation_share_no_pixel_and_cover_the_scene(scene: Path) -> None:
    seen = np.zeros((SIDE, SIDE), int)
    for tiles in tiles_of(scene):
        for place in tiles.places:
            seen[place.row : place.row + 32, place.col : place.col + 32] += 1
    assert (seen == 1).all()


def test_validation_tiles_come_in_blocks(scene: Path) -> None:
    train, val = tiles_of(scene)
    assert len(train.places) + len(val.places) == 100
    held = {(place.row // 64, place.col // 64) for place in val.places}
    assert len(held) == 5 and len(val.places) == 20
    assert not held & {(place.row // 64, place.col // 64) for place in train.places}


def test_labels_are_ignored_where_a_scene_is_invalid(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "t1.tif").symlink_to(scene / "t1.tif")
    (tmp_path / "change.tif").symlink_to(scene / "change.tif")
    with rasterio.open(scene / "t2.tif") as file:
        pixels, profile = file.read().clip(1), file.profile
    pixels[:, 10:30, 40:70] = 0
    with rasterio.open(tmp_path / "t2.tif", "w", **{**profile, "nodata": 0}) as file:
        file.write(pixels)
    sample, hole = open_dataset(tmp_path, tile=SIDE).train[0], np.zeros((SIDE, SIDE), bool)
    hole[10:30, 40:70] = True
    for label in (sample.change, sample.label1, sample.label2):
        assert np.array_equal(label == IGNORE, hole)


def test_tiles_travel_to_other_processes(scene: Path) -> None:
    train, _ = tiles_of(scene)
    assert np.array_equal(pickle.loads(pickle.dumps(train))[0].t1, train[0].t1)  # noqa: S301, our own


def test_a_tile_larger_than_the_scene_is_refused(scene: Path) -> None:
    with pytest.raises(InputError, match="less than a tile of 512"):
        open_dataset(scene)


def test_polygons_of_a_raster_are_the_same_truth_as_the_raster(scene: Path, tmp_path: Path) -> None:
    polygonize(scene / "change.tif", tmp_path / "changes.gpkg")
    with rasterio.open(scene / "change.tif") as file:
        grid, codes = Grid(file.crs, file.transform, *file.shape), file.read(1)
    for path in (scene / "change.tif", tmp_path / "changes.gpkg"):
        with plan_truth(path, grid, SECOND).open() as truth:
            assert np.array_equal(truth.read(grid.window), codes), path


def test_scenes_with_polygons_of_named_classes_can_be_trained_on(scene: Path, tmp_path: Path) -> None:
    for name in ("t1.tif", "t2.tif"):
        (tmp_path / name).symlink_to(scene / name)
    with rasterio.open(scene / "t1.tif") as file:
        box = shapely.box(*file.xy(20, 40, offset="ul"), *file.xy(50, 60, offset="ul"))
        table = gpd.GeoDataFrame({"from_class": ["tree"], "to_class": ["water"]}, geometry=[box], crs=file.crs)
    table.to_crs("EPSG:4326").to_file(tmp_path / "mine.geojson")
    dataset = open_dataset(tmp_path, SECOND, tile=320)
    sample = dataset.train[0]
    expected = np.zeros((SIDE, SIDE), np.uint8)
    expected[20:50, 40:60] = 3
    assert np.array_equal(sample.label1, expected) and np.array_equal(sample.label2 == 4, expected == 3)


def with_date_labels(scene: Path, folder: Path, **changes: npt.NDArray[np.uint8]) -> Path:
    """The scene with its truth as class ids per date."""
    folder.mkdir()
    with rasterio.open(scene / "change.tif") as file:
        profile, (_, *ids) = file.profile, labels_in(file.read(1).astype(np.int64), SECOND)
    for name, values in zip(("label1", "label2"), ids, strict=True):
        with rasterio.open(folder / f"{name}.tif", "w", **{**profile, "nodata": None}) as file:
            file.write(changes.get(name, values), 1)
    for name in ("t1.tif", "t2.tif"):
        (folder / name).symlink_to(scene / name)
    return folder


def test_class_ids_per_date_are_the_same_truth_as_from_to_codes(scene: Path, tmp_path: Path) -> None:
    folder = with_date_labels(scene, tmp_path / "dates")
    by_codes, by_ids = (open_dataset(each, SECOND, tile=SIDE).train[0] for each in (scene, folder))
    for part in (2, 3, 4):
        assert np.array_equal(by_codes[part], by_ids[part])
    with pytest.raises(InputError, match="may be of any classes: say --classes"):
        open_dataset(folder, tile=SIDE)


def test_ids_that_mean_nothing_or_stand_at_one_date_alone_are_named(scene: Path, tmp_path: Path) -> None:
    none, wrong = np.zeros((2, SIDE, SIDE), np.uint8)
    wrong[7, 9] = 8
    for number, (labels, said) in enumerate([
        ({"label1": wrong}, r"label1.tif: holds 8 at row 7, column 9 .* the ids 0 to 6 of second"),
        ({"label2": none}, r"label2.tif: holds 0 at row \d+, column \d+ .* a class where \S+label1.tif has one"),
    ]):  # fmt: skip
        folder = with_date_labels(scene, tmp_path / str(number), **labels)
        with pytest.raises(InputError, match=said):
            open_dataset(folder, SECOND, tile=SIDE).train[0]


def test_an_id_of_255_is_ignored(scene: Path, tmp_path: Path) -> None:
    none, unsure = np.zeros((2, SIDE, SIDE), np.uint8)
    unsure[7, 9] = IGNORE
    folder = with_date_labels(scene, tmp_path / "unsure", label1=unsure, label2=none)
    change = open_dataset(folder, SECOND, tile=SIDE).train[0].change
    assert change[7, 9] == IGNORE and (change == 0).sum() == SIDE**2 - 1


def test_all_scenes_that_cannot_be_used_are_named_at_once(scene: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for part in ("t1.tif", "t2.tif", *(("change.tif",) if name == "c" else ())):
            (tmp_path / name / part).symlink_to(scene / part)
    with pytest.raises(InputError, match=rf"{tmp_path}/a: has .* no truth.*; {tmp_path}/b: has .* no truth") as caught:
        open_dataset(tmp_path, tile=32)
    assert "\n" not in str(caught.value)


def raster(path: Path, values: npt.NDArray[np.uint8], **options: object) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=len(values), width=values.shape[1], count=1, dtype=values.dtype,
        crs="EPSG:32633", transform=Affine(1, 0, 500_000, 0, -1, 5_000_000), **options,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


GRID = Grid(rasterio.crs.CRS.from_epsg(32633), Affine(1, 0, 500_000, 0, -1, 5_000_000), 4, 4)


def test_a_change_map_without_classes_is_binary_and_its_nodata_ignored(tmp_path: Path) -> None:
    values = np.array([[0, 255, 1, 7]] * 4, np.uint8)
    truth = plan_truth(raster(tmp_path / "x.tif", values, nodata=7), GRID, None)
    with truth.open() as layers:
        change, label1, _ = labels_in(layers.read(GRID.window), truth.scheme)
    assert truth.scheme == BINARY
    assert change[0].tolist() == [0, 1, 1, IGNORE] and (label1 == IGNORE).all()


def test_another_mark_of_change_can_be_named(tmp_path: Path) -> None:
    path = raster(tmp_path / "x.tif", np.array([[1, 2, 1, 2]] * 4, np.uint8))
    with plan_truth(path, GRID, SECOND, changed_value=2).open() as layers:
        assert layers.read(GRID.window)[0].tolist() == [0, 1, 0, 1]
    with plan_truth(path, GRID, None).open() as layers, pytest.raises(InputError, match="holds 2 at row 0, column 1"):
        layers.read(GRID.window)


def test_a_truth_elsewhere_is_refused(tmp_path: Path) -> None:
    path = raster(tmp_path / "x.tif", np.zeros((4, 4), np.uint8))
    elsewhere = Grid(GRID.crs, Affine(1, 0, 600_000, 0, -1, 5_000_000), 4, 4)
    with pytest.raises(InputError, match="do not overlap"):
        plan_truth(path, elsewhere, None)


def test_the_later_of_two_polygons_wins(tmp_path: Path) -> None:
    codes = [1 + number % 36 for number in range(60)]
    place = shapely.box(500_000, 4_999_996, 500_004, 5_000_000)
    table = gpd.GeoDataFrame({"code": codes}, geometry=[place.buffer(number % 7) for number in range(60)], crs=32633)
    table.to_file(tmp_path / "x.gpkg")
    with plan_truth(tmp_path / "x.gpkg", GRID, SECOND).open() as layers:
        assert (layers.read(GRID.window) == codes[-1]).all()


def test_polygons_of_unknown_classes_are_refused(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame({"from_class": ["lava"], "to_class": ["water"]}, geometry=[shapely.box(0, 0, 1, 1)])
    table.set_crs(32633).to_file(tmp_path / "x.gpkg")
    with pytest.raises(InputError, match="'lava' is no class of second"):
        plan_truth(tmp_path / "x.gpkg", GRID, SECOND)
