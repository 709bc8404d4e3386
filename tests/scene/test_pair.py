"""A pair as an object: pickled, described, opened again; files that change, break or are none."""

from __future__ import annotations

import json
import os
import pickle
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geofcs.errors import GeofcsError, InputError, SourceError
from geofcs.scene import ScenePair
from geofcs.scene.alignment import Straight
from geofcs.scene.source import block_bytes
from tests.scene.rasters import ORIGIN, T1_SHAPE, noise, plan, write


@pytest.fixture
def pair(tmp_path: Path) -> ScenePair:
    """One scene read straight, one warped, with a mask and an area of interest."""
    t1 = write(tmp_path / "t1.tif", noise(), compress="deflate", nodata=0)
    t2 = write(tmp_path / "t2.tif", noise(dtype="float32"), Affine(10, 0, 500_004, 0, -10, 5e6), nodata=np.nan)
    mask = write(tmp_path / "mask.tif", (noise()[0] > 200).astype(np.uint8))
    return plan(t1, t2, mask_t1=mask, aoi="500100,4999300,500900,4999900")


def test_a_pair_survives_pickling(pair: ScenePair) -> None:
    again = pickle.loads(pickle.dumps(pair))  # noqa: S301
    assert again == pair
    with pair.open() as one, again.open() as other:
        first, second = one.read(pair.grid.window), other.read(pair.grid.window)
    assert (first.t2 == second.t2).all() and (first.valid == second.valid).all()


def test_a_pair_cannot_be_altered(pair: ScenePair) -> None:
    with pytest.raises(FrozenInstanceError):
        pair.notes = ()  # type: ignore[misc]


def test_a_description_is_plain_json_and_complete(pair: ScenePair) -> None:
    described = pair.describe()
    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert (described["grid"]["height"], described["grid"]["width"]) == pair.grid.shape
    assert described["t1"]["path"] == pair.t1.path and Path(pair.t1.path).is_absolute()
    assert described["t1"]["size_bytes"] == Path(pair.t1.path).stat().st_size
    assert described["t1"]["mtime_ns"] == Path(pair.t1.path).stat().st_mtime_ns
    assert [band["number"] for band in described["t1"]["bands"]] == [1, 2, 3]
    assert described["t1"]["placement"] == {"warped": False, "row": 10, "col": 10}
    assert described["t1"]["mask"]["path"].endswith("mask.tif")
    assert described["t2"]["placement"]["resampling"] == "bilinear"
    assert described["t1"]["nodata"] == 0 and described["t2"]["dtype"] == "float32"
    assert set(described["t2"]["stretch"]) == {"low", "high"} and described["t1"]["stretch"] is None
    assert described["aoi"]["text"] == "500100,4999300,500900,4999900"


@pytest.mark.parametrize(
    "options",
    [
        {"bands": "3,2,1"}, {"bands_t2": "1,1,2"}, {"scale": "0,100"}, {"resampling": "cubic"},
        {"aoi": "500100,4999300,500900,4999910"},
    ],
)  # fmt: skip
def test_descriptions_differ_where_pixels_might(options: dict[str, str], tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "a.tif", noise()), write(tmp_path / "b.tif", noise(), Affine(10, 0, 500_004, 0, -10, 5e6))
    assert plan(t1, t2).describe() == plan(t1, t2).describe() != plan(t1, t2, **options).describe()


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.tif", noise())
    monkeypatch.chdir(tmp_path)
    assert plan("a.tif", "./a.tif").t1.path == str(tmp_path / "a.tif")


def test_readers_of_several_threads_do_not_disturb_each_other(pair: ScenePair) -> None:
    with pair.open() as reader:
        whole = reader.read(pair.grid.window)
    barrier = threading.Barrier(4)

    def read_all(seed: int) -> bool:
        barrier.wait()
        rng = np.random.default_rng(seed)
        with pair.open() as reader:
            for _ in range(30):
                top, left = rng.integers(0, pair.grid.height - 9), rng.integers(0, pair.grid.width - 9)
                part = reader.read(Window(left, top, 9, 9))
                rows, cols = slice(top, top + 9), slice(left, left + 9)
                if not (
                    np.array_equal(part.t1, whole.t1[:, rows, cols])
                    and np.array_equal(part.t2, whole.t2[:, rows, cols])
                ):
                    return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read_all, range(4)))


def test_a_file_that_changed_since_the_plan_is_refused(pair: ScenePair) -> None:
    os.utime(pair.t2.path, ns=(1, 1))
    with pytest.raises(InputError, match=r"t2\.tif: has changed since the run was planned .*--restart") as caught:
        pair.open().__enter__()
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["t1.tif", "t2.tif", "mask.tif"])
def test_a_file_that_went_since_the_plan_is_refused(name: str, pair: ScenePair) -> None:
    Path(pair.t1.path).with_name(name).unlink()
    with pytest.raises(SourceError, match=rf"{name}: no such file"), pair.open():
        pass


def test_a_damaged_tile_ends_in_an_error_that_names_file_and_window(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.tif", noise((300, 300)), compress="deflate"))
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_2_2", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 200] = bytes(200)
    path.write_bytes(content)
    pair = plan(str(path), str(path))
    with pair.open() as reader:
        assert reader.read(Window(0, 0, 60, 60)).valid.all()
        with pytest.raises(SourceError, match=r"a\.tif: rows 150-199, columns 130-189 cannot be read .*gdalinfo"):
            reader.read(Window(130, 150, 60, 50))


def test_damage_met_while_planning_is_told_alike(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.tif", noise(dtype="uint16"), compress="deflate"))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises((SourceError, InputError), match=r"a\.tif"):
        plan(str(path), str(path))


@pytest.fixture
def bad_files(tmp_path: Path) -> dict[str, Path]:
    files = {
        name: tmp_path / name for name in ("text.tif", "empty.tif", "image.png", "virtual.tif", "cut.tif", "folder")
    }
    files["text.tif"].write_text("not an image")
    files["empty.tif"].touch()
    with rasterio.open(files["image.png"], "w", driver="PNG", count=3, height=90, width=120, dtype="uint8") as png:
        png.write(noise())
    Path(write(tmp_path / "real.tif", noise()))
    with rasterio.open(tmp_path / "real.tif") as source, rasterio.vrt.WarpedVRT(source):
        files["virtual.tif"].write_text(
            '<VRTDataset rasterXSize="120" rasterYSize="90"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
            f"<SourceFilename>{tmp_path}/real.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
        )
    files["cut.tif"].write_bytes((tmp_path / "real.tif").read_bytes()[:100])
    files["folder"].mkdir()
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.tif", r"text\.tif: cannot be opened as a GeoTIFF .*gdal_translate"),
        ("image.png", r"image\.png: cannot be opened as a GeoTIFF .*gdal_translate"),
        ("virtual.tif", r"virtual\.tif: cannot be opened as a GeoTIFF"),
        ("cut.tif", r"cut\.tif: cannot be opened as a GeoTIFF"),
        ("empty.tif", r"empty\.tif: is empty \(0 bytes\)"),
        ("folder", r"folder: is a folder: name one file in it"),
        ("missing.tif", r"missing\.tif: no such file: check the path"),
        ("missing/a.tif", r"missing/a\.tif: no such file"),
        ("text.tif/a.tif", r"cannot be read"),
        ("nul\0.tif", r"is not the name of a file"),
    ],
)
@pytest.mark.parametrize("role", ["t1", "t2", "mask_t1", "mask_t2"])
def test_what_is_no_geotiff_is_refused_by_name(
    role: str, name: str, message: str, bad_files: dict[str, Path], tmp_path: Path
) -> None:
    good, bad = str(tmp_path / "real.tif"), f"{tmp_path}/{name}"
    arguments = {"t1": good, "t2": good} | {role: bad}
    with pytest.raises(InputError, match=message) as caught:
        plan(**arguments)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3


@pytest.mark.parametrize(
    "text", ["<VRTDataset/>", "vrt://a.tif", "zip://a.zip!a.tif", "GTIFF_DIR:1:a.tif", "/vsizip/a"]
)
def test_connection_strings_open_nothing(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        plan(text, write(tmp_path / "a.tif", noise()))


@pytest.mark.parametrize(
    "name", ["with space.tif", "ünï.tif", "100%.tif", "a#b?c=d.tif", "a,b!c.tif", "no_suffix", "C:x.tif"]
)
def test_any_name_of_a_file_is_a_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "plain.tif", noise())
    Path(path).rename(tmp_path / name)
    pair = plan(str(tmp_path / name), str(tmp_path / name))
    with pair.open() as reader:
        assert (reader.read(pair.grid.window).t1 == noise()).all()


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise().astype(np.complex64))
    with pytest.raises(InputError, match=r"a\.tif: holds complex numbers \(complex64\)"):
        plan(path, path)


def giant(path: Path, side: int) -> str:
    """A sparse file of one internal tile of side x side pixels."""
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint8", crs="EPSG:32631", transform=ORIGIN,
        tiled=True, blockxsize=side, blockysize=side, sparse_ok=True, compress="deflate",
    ) as dataset:  # fmt: skip
        assert block_bytes(dataset) == side * side
    return str(path)


def test_internal_tiles_too_large_to_read_in_parts_are_refused(tmp_path: Path) -> None:
    path = giant(tmp_path / "a.tif", 40_000)
    with pytest.raises(InputError, match=r"a\.tif: its internal tiles are 1\.5 GiB each, .*TILED=YES"):
        plan(path, path)


def test_large_internal_tiles_are_noted(tmp_path: Path) -> None:
    path = giant(tmp_path / "a.tif", 10_000)
    assert any("T2: internal tiles of 95 MiB make reading slow" in note for note in plan(path, path).notes)


def test_a_file_that_claims_terabytes_is_read_by_window(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=3, height=1_000_000, width=1_000_000, dtype="uint8",
        crs="EPSG:32631", transform=ORIGIN, tiled=True, blockxsize=4096, blockysize=4096, sparse_ok=True, bigtiff=True,
    ):  # fmt: skip
        pass
    pair = plan(str(tmp_path / "a.tif"), str(tmp_path / "a.tif"))
    with pair.open() as reader:
        assert reader.read(Window(999_000, 999_000, 1000, 1000)).valid.all()


def test_nothing_is_written_beside_the_inputs(pair: ScenePair) -> None:
    folder = Path(pair.t1.path).parent
    before = sorted(folder.iterdir())
    with pair.open() as reader:
        reader.read(pair.grid.window)
    assert sorted(folder.iterdir()) == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir()
    write(folder / "a.tif", noise(dtype="uint16"))
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_a_folder_that_cannot_be_written_is_good_enough(read_only: Path) -> None:
    pair = plan(str(read_only / "a.tif"), str(read_only / "a.tif"))
    with pair.open() as reader:
        assert reader.read(pair.grid.window).t1.shape == (3, *T1_SHAPE)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"TIFFTAG_DATETIME": "2019:06:30 10:11:12"}, "2019-06-30"),
        ({"ACQUISITIONDATETIME": "2018-03-04T10:11:12Z", "TIFFTAG_DATETIME": "2019:06:30 10:11:12"}, "2018-03-04"),
        ({"datetime": "2020-05-17T00:00:00Z/2020-06-17T00:00:00Z"}, "2020-05-17"),
        ({"Acquisition_Date": "20200517"}, "2020-05-17"),
        ({"DATE_ACQUIRED": "unknown", "TIFFTAG_DATETIME": "2019:06:30 10:11:12"}, "2019-06-30"),
        ({"TIFFTAG_DATETIME": "0000:00:00 00:00:00"}, None),
        ({"TIFFTAG_DATETIME": "2019:13:45 00:00:00"}, None),
        ({"software": "2020-01-01"}, None),
    ],
)
def test_dates_are_taken_from_the_tags(tags: dict[str, str], expected: str | None, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**tags)
    pair = plan(path, write(tmp_path / "b.tif", noise()))
    assert (pair.t1.date, pair.t2.date) == (expected, None)


def test_the_imagery_tags_come_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2019:06:30 10:11:12")
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2018-03-04 10:11:12")
    assert plan(path, path).t1.date == "2018-03-04"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # rasterio's log
def test_damaged_headers_end_in_errors_of_ours(tmp_path: Path) -> None:
    content = Path(write(tmp_path / "a.tif", noise((70, 80), "uint16"), compress="deflate", nodata=0)).read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.choice(600, 3):
            damaged[position] = rng.integers(256)
        (tmp_path / "b.tif").write_bytes(damaged)
        try:
            plan(str(tmp_path / "b.tif"), str(tmp_path / "a.tif"))
        except GeofcsError as error:
            assert "\n" not in str(error)


def test_a_world_file_beside_does_not_move_a_scene_that_has_its_place(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "t1.tif", noise()), write(tmp_path / "t2.tif", noise())
    (tmp_path / "t2.tfw").write_text("10\n0\n0\n-10\n700005\n4000000\n")
    (tmp_path / "t2.tif.aux.xml").write_text("<PAMDataset><GeoTransform>1,2,0,3,0,-4</GeoTransform></PAMDataset>")
    assert plan(t1, t2).t2.placement == Straight(0, 0)


def test_pixels_that_stand_for_points_lie_where_those_that_stand_for_areas_do(tmp_path: Path) -> None:
    t1, t2 = write(tmp_path / "t1.tif", noise()), write(tmp_path / "t2.tif", noise())
    with rasterio.open(t2, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
        file.transform = ORIGIN
    with rasterio.open(t2) as file:
        assert file.tags()["AREA_OR_POINT"] == "Point"
    assert plan(t1, t2).t2.placement == Straight(0, 0)
