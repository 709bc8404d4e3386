"""What bad input gets: one line with the cure, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from geofcs.errors import GeofcsError, InputError, OutputError, SourceError, UsageError, VerificationError
from geofcs.vector import stream, write
from geofcs.vector.polygonize import polygonize
from geofcs.vector.regions import BlockRegions, find_regions
from tests.vector.rasters import write_raster

ONE_REGION = np.ones((20, 20), np.uint8)
LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
CHECKERBOARD = (np.indices((150, 150)).sum(0) % 2).astype(np.uint8)


def refused(error: type[GeofcsError], message: str, change: Path, out: Path, **options: object) -> None:
    """The error comes in one line, and the output's folder is as it was."""
    before = {path: path.stat().st_mtime_ns for path in out.parent.iterdir()} if out.parent.is_dir() else None
    with pytest.raises(error, match=message) as caught:
        polygonize(change, out, **options)  # type: ignore[arg-type]
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    if before is not None:
        assert {path: path.stat().st_mtime_ns for path in out.parent.iterdir()} == before


def test_a_raster_that_is_not_there(tmp_path: Path) -> None:
    refused(InputError, r"none\.tif: cannot be opened.*check the path", tmp_path / "none.tif", tmp_path / "x.gpkg")


def test_a_second_run_on_an_output_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    change, out, said = write_raster(tmp_path / "change.tif", ONE_REGION), tmp_path / "x.gpkg", []

    def begin_another(_pixels: int) -> None:
        with pytest.raises(OutputError) as caught:
            polygonize(change, out)
        said.append(str(caught.value))

    assert polygonize(change, out, progress=begin_another).polygons == 1
    assert f"x.gpkg: process {os.getpid()} on " in said[0] and "wait for it to end" in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["change.tif", "x.gpkg"]


def test_a_file_that_is_no_geotiff(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    refused(InputError, "cannot be opened as a GeoTIFF", tmp_path / "text.tif", tmp_path / "x.gpkg")


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.ones((3, 20, 20), np.uint8), r"3 band\(s\) of uint8"),
        (np.ones((20, 20), np.float32), r"1 band\(s\) of float32"),
        (np.ones((20, 20), np.int16), r"1 band\(s\) of int16"),
    ],
)
def test_a_raster_that_holds_no_codes(tmp_path: Path, pixels: np.ndarray, found: str) -> None:
    change = write_raster(tmp_path / "change.tif", pixels)
    refused(InputError, f"change.tif: has {found}; from-to codes are", change, tmp_path / "x.gpkg")


def test_a_raster_that_does_not_tell_its_classes(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION, scheme=None)
    refused(InputError, "give them with --classes", change, tmp_path / "x.gpkg")


def test_a_tag_that_is_no_scheme(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    with rasterio.open(change, "r+") as file:
        file.update_tags(GEOFCS_CLASSES="{")
    refused(InputError, "not a class scheme", change, tmp_path / "x.gpkg")


@pytest.mark.parametrize("block", [8, 64])
def test_a_code_that_the_scheme_does_not_have(tmp_path: Path, block: int) -> None:
    codes = ONE_REGION.copy()
    codes[13, 17] = 37
    change = write_raster(tmp_path / "change.tif", codes)
    message = "code 37 at row 13, column 17 is none of the 36 of class scheme 'second'.*--classes"
    refused(InputError, message, change, tmp_path / "x.gpkg", block=block)


@pytest.mark.parametrize(
    ("scores", "crs", "transform"),
    [
        (np.ones((20, 21), np.uint8), CRS.from_epsg(32631), Affine(10, 0, 500_000, 0, -10, 4_600_000)),
        (ONE_REGION, CRS.from_epsg(32632), Affine(10, 0, 500_000, 0, -10, 4_600_000)),
        (ONE_REGION, CRS.from_epsg(32631), Affine(10, 0, 500_010, 0, -10, 4_600_000)),
    ],
    ids=["shape", "crs", "place"],
)
def test_change_scores_of_another_grid(tmp_path: Path, scores: np.ndarray, crs: CRS, transform: Affine) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    probability = write_raster(tmp_path / "other.tif", scores, crs=crs, transform=transform)
    message = r"other\.tif: its grid .* is not that of .*change\.tif.*of the same run"
    refused(InputError, message, change, tmp_path / "x.gpkg", probability=probability)


def test_change_scores_that_are_no_percentages(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    probability = write_raster(tmp_path / "other.tif", ONE_REGION.astype(np.float32))
    refused(InputError, r"other\.tif: has 1 band\(s\) of float32", change, tmp_path / "x.gpkg", probability=probability)


@pytest.mark.parametrize("name", ["change.tif", "probability.tif"])
def test_pixels_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (300, 300)).astype(np.uint8)
    paths = [write_raster(tmp_path / each, noise) for each in ("change.tif", "probability.tif")]
    damaged = tmp_path / name
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    damaged.write_bytes(content)
    message = rf"{name}: rows \d+ to \d+ cannot be read"
    refused(SourceError, message, paths[0], tmp_path / "x.gpkg", probability=paths[1], block=64)


@pytest.mark.parametrize("name", ["x.shp", "x", "x.GPKG", "gpkg"])
def test_an_ending_without_a_format(tmp_path: Path, name: str) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    refused(UsageError, r"written as \.gpkg, \.fgb, \.parquet, \.geojson", change, tmp_path / name)


def test_an_output_that_exists_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    out = tmp_path / "x.gpkg"
    out.write_text("precious")
    refused(OutputError, "exists; .*--overwrite", change, out, overwrite=False)
    refused(OutputError, "more than 0 polygons", change, out, max_polygons=0)
    assert out.read_text() == "precious"
    polygonize(change, out, overwrite=True)
    assert len(pyogrio.read_dataframe(out, layer="changes")) == 1


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    (tmp_path / "x.gpkg").mkdir()
    refused(OutputError, "is a folder", change, tmp_path / "x.gpkg")


def test_a_folder_that_is_not_there_is_made_and_goes_again_if_nothing_comes_to_lie_in_it(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", CHECKERBOARD)
    refused(OutputError, "more than 9 polygons", change, tmp_path / "new" / "x.gpkg", max_polygons=9)
    assert not (tmp_path / "new").exists()
    polygonize(write_raster(tmp_path / "small.tif", ONE_REGION), tmp_path / "new" / "x.gpkg")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.gpkg"]


def test_more_polygons_than_allowed(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", CHECKERBOARD)
    message = "more than 11249 polygons.*--min-area.*--max-polygons"
    refused(OutputError, message, change, tmp_path / "x.gpkg", max_polygons=11_249, block=64)
    assert polygonize(change, tmp_path / "x.gpkg", max_polygons=11_250, block=64).polygons == 11_250


@pytest.mark.parametrize("crs", [None, CRS.from_wkt(LOCAL)], ids=["none", "local"])
def test_areas_and_degrees_without_a_place_on_the_earth(tmp_path: Path, crs: CRS | None) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION, crs=crs, transform=Affine.scale(2))
    refused(InputError, r"has no CRS on the Earth.*--min-area", change, tmp_path / "x.gpkg", min_area=1)
    refused(InputError, r"has no CRS on the Earth.*write a \.gpkg", change, tmp_path / "x.geojson")


def test_a_polygon_that_is_not_valid_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    bowtie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    monkeypatch.setattr(shapely, "from_ragged_array", lambda *_: np.array([bowtie]))
    refused(VerificationError, "row 0, column 0 is not valid", change, tmp_path / "x.gpkg")


def test_a_polygon_of_another_size_than_its_region_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)

    def find_and_lose_a_pixel(*arguments: Any) -> BlockRegions:
        found = find_regions(*arguments)
        found.complete.pixels[:] -= 1
        return found

    monkeypatch.setattr(stream, "find_regions", find_and_lose_a_pixel)
    refused(VerificationError, "not those of the regions", change, tmp_path / "x.gpkg")


@pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_a_file_that_lacks_a_polygon_is_noticed(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change = write_raster(tmp_path / "change.tif", ONE_REGION)
    write_package = write._write_package
    monkeypatch.setattr(write, "_write_package", lambda *arguments: write_package(*arguments) + 1)
    refused(OutputError, "holds 1 of 2 polygons", change, tmp_path / f"x{ending}")
    if ending != ".gpkg":
        monkeypatch.setattr(write, "_check_written", lambda *_: None)
        refused(VerificationError, "holds 1 of 2 polygons", change, tmp_path / f"x{ending}")


def test_a_damaged_geopackage_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = write_raster(tmp_path / "change.tif", CHECKERBOARD)
    write_package = write._write_package

    def write_and_damage(package: Path, *rest: object) -> int:
        count = write_package(package, *rest)  # type: ignore[arg-type]
        content = bytearray(package.read_bytes())
        middle = len(content) // 2 // 4096 * 4096
        content[middle : middle + 4096] = bytes(4096)
        package.write_bytes(content)
        return count

    monkeypatch.setattr(write, "_write_package", write_and_damage)
    refused(OutputError, "SQLite says", change, tmp_path / "x.gpkg")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system refuses as it does on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", [".gpkg", ".fgb", ".parquet", ".geojson"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, ending: str) -> None:
    change = write_raster(tmp_path / "change.tif", CHECKERBOARD)
    polygonize(change, tmp_path / f"whole{ending}")
    whole = (tmp_path / f"whole{ending}").stat().st_size
    for size in (0, 50_000, whole // 2, whole - 5000, whole - 2):
        with files_of_at_most(size):
            refused(OutputError, rf"x\{ending}: (cannot be|nothing can be) written", change, tmp_path / f"x{ending}")
    polygonize(change, tmp_path / f"x{ending}")
    assert (tmp_path / f"x{ending}").stat().st_size == whole
