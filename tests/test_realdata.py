"""Real scenes from the command's entry to its files; skipped where the samples are not there."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS

from geofcs.classes import SECOND
from geofcs.detect import detect
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from geofcs.plan import DetectRequest
from geofcs.scene import SceneOptions
from tests.stubs import Silent

GEOREFERENCED = {
    "guiana": ("t1.tif", "t2.tif", (216, 216), 4326),
    "naip_nd": ("t1.tif", "t2.tif", None, 26914),
    "oscd_abudhabi": ("t1.tif", "t2.tif", (799, 785), 4326),
    "oscd_rennes": ("t1.tif", "t2.tif", None, 4326),
    "overlap_crops": ("a.tif", "b.tif", None, 32618),
    "pucallpa": ("t1.tif", "t2.tif", (377, 697), 4326),
}
"""Per folder: both files, the grid's shape where the scenes cover each other whole, and the EPSG code."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = pico(classes=SECOND.count, width=4)
    path = tmp_path_factory.mktemp("weights") / "pico.safetensors"
    save_weights(path, build(config, seed=2), config, SECOND, tile=128, trained="not trained")
    return path


def check_outputs(out: Path, crs: CRS | None) -> np.ndarray:
    """Every output opens, and they agree with each other; returns the codes."""
    with rasterio.open(out / "change.tif") as file, rasterio.open(out / "probability.tif") as probability:
        assert file.crs == crs
        assert probability.shape == file.shape
        codes = np.asarray(file.read(1))
        percent = probability.read(1)
    assert ((codes == SECOND.nodata) == (percent == 255)).all()
    assert (percent[codes != SECOND.nodata] <= 100).all()
    polygons = geopandas.read_file(out / "changes.gpkg", layer="changes")
    assert polygons["pixels"].sum() == np.count_nonzero((codes > 0) & (codes < SECOND.nodata))
    assert polygons.is_valid.all()
    return codes


@pytest.mark.parametrize("folder", GEOREFERENCED)
def test_a_real_pair_runs_on_a_sensible_grid(realdata: Path, weights: Path, tmp_path: Path, folder: str) -> None:
    t1, t2, shape, epsg = GEOREFERENCED[folder]
    first, second = realdata / folder / t1, realdata / folder / t2
    detect(DetectRequest(str(first), str(second), tmp_path / "out", weights, workers=1), Silent())
    codes = check_outputs(tmp_path / "out", CRS.from_epsg(epsg))
    with rasterio.open(first) as scene, rasterio.open(tmp_path / "out" / "change.tif") as change:
        offset = ~scene.transform @ (change.transform.c, change.transform.f)
        assert change.transform.a == pytest.approx(scene.transform.a, rel=1e-9)
        np.testing.assert_allclose(offset, np.round(offset), atol=1e-4)
        if shape:
            assert change.shape == shape
    assert (codes != SECOND.nodata).mean() > 0.5


@pytest.mark.parametrize(("folder", "dates"), [("levir_cd", ("A", "B")), ("second_rgb_labels", ("im1", "im2"))])
def test_images_without_georeferencing_run_when_told_to_be_aligned(
    realdata: Path, weights: Path, tmp_path: Path, folder: str, dates: tuple[str, str]
) -> None:
    name = min(path.name for path in (realdata / folder / dates[0]).iterdir())
    scenes = []
    for date in dates:
        with rasterio.open(realdata / folder / date / name) as image:
            pixels = image.read()
        scenes.append(tmp_path / f"{date}.tif")
        with rasterio.open(
            scenes[-1], "w", driver="GTiff", count=3, height=pixels.shape[1], width=pixels.shape[2], dtype="uint8"
        ) as file:  # fmt: skip
            file.write(pixels[:3])
    request = DetectRequest(
        str(scenes[0]), str(scenes[1]), tmp_path / "out", weights, scene=SceneOptions(assume_aligned=True), workers=1
    )
    detect(request, Silent())
    codes = check_outputs(tmp_path / "out", None)
    assert codes.shape == pixels.shape[1:]
    assert (codes != SECOND.nodata).all()
