"""What bad input gets: one line with the file and the cure, the right exit code, nothing half-written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geofcs.classes import SECOND
from geofcs.model.build import build
from geofcs.model.sizes import pico
from geofcs.model.weights import save_weights
from tests.commands import Command, Said

UTM = CRS.from_epsg(32631)
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)


def write_scene(
    path: Path, *, bands: int = 3, crs: CRS | None = UTM, transform: Affine = PLACE, fill: int = 90
) -> Path:
    """A GeoTIFF of 80 x 100 pixels."""
    pixels = np.full((bands, 80, 100), fill, np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=80, width=100, dtype="uint8", crs=crs, transform=transform
    ) as file:  # fmt: skip
        file.write(pixels)
    return path


@dataclass(frozen=True)
class Place:
    """A folder with two good scenes and weights."""

    folder: Path

    @property
    def t1(self) -> Path:
        return self.folder / "t1.tif"

    @property
    def t2(self) -> Path:
        return self.folder / "t2.tif"

    @property
    def weights(self) -> Path:
        return self.folder / "pico.safetensors"

    @property
    def out(self) -> Path:
        return self.folder / "out"


@pytest.fixture(scope="module")
def weights_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    config = pico(classes=SECOND.count, width=4)
    path = tmp_path_factory.mktemp("weights") / "pico.safetensors"
    save_weights(path, build(config, seed=0), config, SECOND, tile=64, trained="not trained")
    return path.read_bytes()


@pytest.fixture
def place(tmp_path: Path, weights_bytes: bytes) -> Place:
    place = Place(tmp_path)
    write_scene(place.t1)
    write_scene(place.t2)
    place.weights.write_bytes(weights_bytes)
    return place


def check(place: Place, said: Said, exit_code: int, *words: str) -> None:
    """One line, the exit code, all the words, and no trace of an output."""
    assert said.exit_code == exit_code, said.text
    errors = [line for line in said.text.splitlines() if line.startswith("geofcs: ")]
    assert len(errors) == 1, said.text
    for word in words:
        assert word in errors[0], said.text
    assert "Traceback" not in said.text
    assert not place.out.exists()
    assert not place.out.with_name("out.partial").exists()


def detect(geofcs: Command, place: Place, *more: object, t1: object = None, t2: object = None) -> Said:
    return geofcs(
        "detect", t1 or place.t1, t2 or place.t2, "--weights", place.weights, "-o", place.out, "--threads", "1", *more
    )


def test_a_missing_file(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, t2="nowhere.tif"), 3, "nowhere.tif")


def test_a_folder_in_place_of_a_scene(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, t1=place.folder), 3, str(place.folder))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"II*\0" + bytes(64)], ids=["empty", "gif", "broken"])
def test_a_file_that_is_not_a_geotiff(geofcs: Command, place: Place, content: bytes) -> None:
    place.t2.write_bytes(content)
    check(place, detect(geofcs, place), 3, "t2.tif")


def test_a_virtual_raster_that_points_elsewhere(geofcs: Command, place: Place) -> None:
    text = "<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"
    place.t2.write_text(text)
    check(place, detect(geofcs, place), 3, "t2.tif")


def test_a_scene_without_crs(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, crs=None)
    check(place, detect(geofcs, place), 3, "t2.tif", "--assume-crs")


def test_a_scene_without_any_position(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, crs=None, transform=Affine.identity())
    check(place, detect(geofcs, place, "--assume-crs", "EPSG:32631"), 3, "t2.tif", "gdal_edit")


def test_two_scenes_without_crs(geofcs: Command, place: Place) -> None:
    write_scene(place.t1, crs=None, transform=Affine.identity())
    write_scene(place.t2, crs=None, transform=Affine.identity())
    check(place, detect(geofcs, place), 3, "--assume-aligned")


def test_scenes_that_do_not_overlap_are_told_before_the_weights_are_looked_at(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, transform=Affine(0.5, 0, 509_000, 0, -0.5, 4_600_000))
    place.weights.unlink()
    check(place, detect(geofcs, place), 3, "t1.tif", "t2.tif", "500000", "509000")


def test_too_few_bands(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, bands=2)
    check(place, detect(geofcs, place), 3, "t2.tif", "--bands")


def test_a_band_that_is_not_there(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--bands", "1,2,7"), 3, "7")


def test_nothing_valid(geofcs: Command, place: Place) -> None:
    clouds = write_scene(place.folder / "clouds.tif", bands=1)
    check(place, detect(geofcs, place, "--mask-t1", clouds), 3, "no pixel is valid", "--mask-t1")


def test_an_aoi_outside(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--aoi", "0,0,10,10"), 3, "--aoi")


def test_weights_that_are_missing(geofcs: Command, place: Place) -> None:
    place.weights.unlink()
    check(place, detect(geofcs, place), 3, "pico.safetensors")


@pytest.mark.parametrize("position", [0, 9, -1])
def test_weights_with_a_flipped_bit(geofcs: Command, place: Place, position: int) -> None:
    content = bytearray(place.weights.read_bytes())
    content[position] ^= 1
    place.weights.write_bytes(content)
    said = detect(geofcs, place)
    assert said.exit_code == 3
    assert "pico.safetensors" in said.text
    assert not place.out.exists()


def test_truncated_weights(geofcs: Command, place: Place) -> None:
    place.weights.write_bytes(place.weights.read_bytes()[:-100])
    check(place, detect(geofcs, place), 3, "pico.safetensors")


def test_weights_of_something_else(geofcs: Command, place: Place) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"x": zeros(3)}, place.weights)
    check(place, detect(geofcs, place), 3, "pico.safetensors")


def test_an_output_that_is_an_input(geofcs: Command, place: Place) -> None:
    said = geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.t1)
    check(place, said, 5, "t1.tif", "-o")
    assert place.t1.is_file()


def test_an_output_that_holds_an_input(geofcs: Command, place: Place) -> None:
    check(place, geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.folder), 5, "holds", "-o")


def test_an_output_that_cannot_be_made(geofcs: Command, place: Place) -> None:
    (place.folder / "file").touch()
    said = geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.folder / "file" / "out")
    check(place, said, 5, "file", "-o")


def test_an_output_that_exists(geofcs: Command, place: Place) -> None:
    place.out.mkdir()
    (place.out / "run.json").write_text("{}")
    said = detect(geofcs, place)
    assert (said.exit_code, "--overwrite" in said.text) == (5, True)
    assert (place.out / "run.json").read_text() == "{}"


def test_a_tile_larger_than_memory(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--tile", "200000"), 3, "--tile 200000", "memory")


def test_an_unknown_class_scheme(geofcs: Command, place: Place) -> None:
    said = geofcs("synth", place.folder / "made", "--classes", "nonsense")
    check(place, said, 3, "nonsense", "second, landsat, binary")


def test_a_device_that_is_not_there(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--device", "abacus"), 3, "abacus")


@pytest.mark.parametrize(
    "option", [["--threshold", "2"], ["--scale", "9"], ["--scale", "5,5"], ["--resampling", "magic"]]
)
def test_an_option_with_a_value_out_of_range(geofcs: Command, place: Place, option: list[str]) -> None:
    said = detect(geofcs, place, *option)
    assert said.exit_code in {2, 3}
    assert option[0] in said.text
    assert "Traceback" not in said.text


def test_an_unknown_option_is_a_usage_error(geofcs: Command, place: Place) -> None:
    said = detect(geofcs, place, "--magic")
    assert said.exit_code == 2
    assert "--magic" in said.text
