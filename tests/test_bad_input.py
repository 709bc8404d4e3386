"""What bad input gets: one line with the file and the cure, the right exit code, nothing half-written."""

from __future__ import annotations

import re
import shutil
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
from tests.torture.faults import BAD_INPUT, tell

UTM = CRS.from_epsg(32631)
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 4_600_000)


NO_TIFF = (
    r"DIR/t2\.tif: cannot be opened as a GeoTIFF \(.+\): if it is another format, convert it with gdal_translate; else "
    "it is damaged and must be copied again"
)
NO_TENSORS = (
    r"DIR/pico\.safetensors: is not a safetensors file, or is cut short \(.+\): copy it again; published \.pth files "
    "are converted by geofcs weights import"
)


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


def check(place: Place, said: Said, exit_code: int, message: str) -> None:
    """The exit code, the one line, DIR in it for the folder, and no trace of an output.

    The message is a regular expression of the whole line; only the reasons that libraries give are left open.
    """
    assert said.exit_code == exit_code, said.text
    errors = [line for line in said.text.splitlines() if line.startswith("geofcs: ")]
    assert len(errors) == 1, said.text
    assert re.fullmatch(f"geofcs: (?:{message})", errors[0].replace(str(place.folder), "DIR")), said.text
    assert "Traceback" not in said.text
    assert not place.out.exists()
    assert not place.out.with_name("out.partial").exists()
    tell(BAD_INPUT, {f"exit code {exit_code}": 1})


def detect(geofcs: Command, place: Place, *more: object, t1: object = None, t2: object = None) -> Said:
    return geofcs(
        "detect", t1 or place.t1, t2 or place.t2, "--weights", place.weights, "-o", place.out, "--threads", "1", *more
    )


def test_a_missing_file(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, t2="nowhere.tif"), 3, r".*/nowhere\.tif: no such file: check the path")


def test_a_folder_in_place_of_a_scene(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, t1=place.folder), 3, "DIR: is a folder: name one file in it")


@pytest.mark.parametrize("content", [b"GIF89a", b"II*\0" + bytes(64)], ids=["gif", "broken"])
def test_a_file_that_is_not_a_geotiff(geofcs: Command, place: Place, content: bytes) -> None:
    place.t2.write_bytes(content)
    check(place, detect(geofcs, place), 3, NO_TIFF)


def test_an_empty_file(geofcs: Command, place: Place) -> None:
    place.t2.write_bytes(b"")
    check(place, detect(geofcs, place), 3, r"DIR/t2\.tif: is empty \(0 bytes\): copy or download it again")


def test_a_virtual_raster_that_points_elsewhere(geofcs: Command, place: Place) -> None:
    text = "<VRTDataset rasterXSize='1' rasterYSize='1'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"
    place.t2.write_text(text)
    check(place, detect(geofcs, place), 3, NO_TIFF)


def test_a_scene_without_crs(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, crs=None)
    check(place, detect(geofcs, place), 3, r"DIR/t2\.tif: has no CRS: say which with --assume-crs EPSG:\.\.\.")


def test_a_scene_without_any_position(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, crs=None, transform=Affine.identity())
    check(
        place, detect(geofcs, place, "--assume-crs", "EPSG:32631"), 3,
        r"DIR/t2\.tif: has no CRS and no position on the earth: give it a place with gdal_edit\.py -a_srs and -a_ullr",
    )  # fmt: skip


def test_two_scenes_without_crs(geofcs: Command, place: Place) -> None:
    write_scene(place.t1, crs=None, transform=Affine.identity())
    write_scene(place.t2, crs=None, transform=Affine.identity())
    check(place, detect(geofcs, place), 3,
          r"DIR/t1\.tif: has no CRS and no position on the earth: give it a place with gdal_edit\.py -a_srs and -a_ullr"
          ", or --assume-aligned if both show the same pixels")  # fmt: skip


def test_scenes_that_do_not_overlap_are_told_before_the_weights_are_looked_at(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, transform=Affine(0.5, 0, 509_000, 0, -0.5, 4_600_000))
    place.weights.unlink()
    check(place, detect(geofcs, place), 3,
          r"DIR/t1\.tif and DIR/t2\.tif do not overlap, their extents are \(500000, 4599960, 500050, 4600000\) and "
          r"\(509000, 4599960, 509050, 4600000\) in EPSG:32631: give two scenes of one place")  # fmt: skip


def test_too_few_bands(geofcs: Command, place: Place) -> None:
    write_scene(place.t2, bands=2)
    check(place, detect(geofcs, place), 3,
          r"DIR/t2\.tif: has too few bands for red, green and blue, its bands are 1, 2: choose one with --bands",
    )  # fmt: skip


def test_a_band_that_is_not_there(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--bands", "1,2,7"), 3,
          r"DIR/t1\.tif: has no band '7', its bands are 1 \(red\), 2 \(green\), 3 \(blue\): name these with --bands",
    )  # fmt: skip


def test_nothing_valid(geofcs: Command, place: Place) -> None:
    clouds = write_scene(place.folder / "clouds.tif", bands=1)
    check(place, detect(geofcs, place, "--mask-t1", clouds), 3,
          "no pixel is valid on both dates: check --mask-t1, --mask-t2 and --aoi against the scenes",
    )  # fmt: skip


def test_an_aoi_outside(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--aoi", "0,0,10,10"), 3,
          r"--aoi 0,0,10,10: lies outside the overlap of the scenes: it covers \(0, 0, 10, 10\), they \(500000, "
          r"4599960, 500050, 4600000\) in EPSG:32631: check its CRS and coordinates")  # fmt: skip


def test_weights_that_are_missing(geofcs: Command, place: Place) -> None:
    place.weights.unlink()
    check(place, detect(geofcs, place), 3, r"DIR/pico\.safetensors: there is no such file: check the path")


DAMAGED = r"DIR/pico\.safetensors: is damaged: its tensors are not those it was written with; copy it again"


@pytest.mark.parametrize(("position", "message"), [(0, NO_TENSORS), (9, NO_TENSORS), (-1, DAMAGED)])
def test_weights_with_a_flipped_bit(geofcs: Command, place: Place, position: int, message: str) -> None:
    content = bytearray(place.weights.read_bytes())
    content[position] ^= 1
    place.weights.write_bytes(content)
    said = detect(geofcs, place)
    shutil.rmtree(place.folder / "out.partial", ignore_errors=True)
    check(place, said, 3, message)


def test_truncated_weights(geofcs: Command, place: Place) -> None:
    place.weights.write_bytes(place.weights.read_bytes()[:-100])
    check(place, detect(geofcs, place), 3, NO_TENSORS)


def test_weights_of_something_else(geofcs: Command, place: Place) -> None:
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"x": zeros(3)}, place.weights)
    check(place, detect(geofcs, place), 3,
          r"DIR/pico\.safetensors: is a safetensors file, but not one that geofcs wrote: name one of geofcs train or "
          "geofcs weights import")  # fmt: skip


def test_an_output_that_is_an_input(geofcs: Command, place: Place) -> None:
    said = geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.t1)
    check(place, said, 5, r"DIR/t1\.tif: holds the input t1\.tif: choose another folder with -o")
    assert place.t1.is_file()


def test_an_output_that_holds_an_input(geofcs: Command, place: Place) -> None:
    said = geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.folder)
    check(place, said, 5, r"DIR: holds the input t1\.tif: choose another folder with -o")


def test_an_output_that_cannot_be_made(geofcs: Command, place: Place) -> None:
    (place.folder / "file").touch()
    said = geofcs("detect", place.t1, place.t2, "--weights", place.weights, "-o", place.folder / "file" / "out")
    check(place, said, 5,
          r"DIR/file/out: nothing can be written beside it \(File exists\): make room, or name another output",
    )  # fmt: skip


def test_an_output_that_exists(geofcs: Command, place: Place) -> None:
    place.out.mkdir()
    (place.out / "run.json").write_text("{}")
    said = detect(geofcs, place)
    assert said.exit_code == 5
    assert (
        said.text == f"geofcs: {place.out}: is a finished output: add --overwrite to replace it, or choose another -o\n"
    )
    assert (place.out / "run.json").read_text() == "{}"


def test_a_tile_larger_than_memory(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--tile", "200000"), 3,
          r"--tile 200000: 1 worker\(s\) need about [\d.]+ GiB of memory, [\d.]+ GiB can be used: use a smaller "
          "--tile, --batch or fewer --workers")  # fmt: skip


def test_an_unknown_class_scheme(geofcs: Command, place: Place) -> None:
    said = geofcs("synth", place.folder / "made", "--classes", "nonsense")
    check(place, said, 3, "no class scheme is called 'nonsense'; known are second, landsat, binary")


def test_a_device_that_is_not_there(geofcs: Command, place: Place) -> None:
    check(place, detect(geofcs, place, "--device", "abacus"), 3, "--device abacus: is not there; this machine has .+")


NO_SCALE = ": give MIN,MAX, two numbers that become 0 and 255, as in 0,3000"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--threshold 2", r"--threshold 2\.0: is no probability: give a number between 0 and 1"),
        ("--scale 9", f"--scale 9{NO_SCALE}"),
        ("--scale 5,5", f"--scale 5,5{NO_SCALE}"),
        ("--resampling magic", "--resampling magic: is not known; choose one of nearest, bilinear, .*, average"),
    ],
)
def test_an_option_with_a_value_out_of_range(geofcs: Command, place: Place, option: str, message: str) -> None:
    check(place, detect(geofcs, place, *option.split()), 2, message)


def test_an_unknown_option_is_a_usage_error(geofcs: Command, place: Place) -> None:
    said = detect(geofcs, place, "--magic")
    assert said.exit_code == 2
    assert "--magic" in said.text
