"""The files of `geofcs synth`: the same bytes however they are computed, and what GIS programs expect in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from typer.testing import CliRunner

from geofcs.classes import CLASSES_TAG, SCHEMES, SECOND, scheme_from_json
from geofcs.cli.app import app
from geofcs.errors import InputError, OutputError
from geofcs.lock import locked
from geofcs.synthetic import SceneParameters, scene_pixels
from geofcs.synthetic.write import FILES, Extent, extent_of, write_scenes

EXTENT = Extent(530, 700)


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, SceneParameters(seed=6), EXTENT)
    return folder


@pytest.mark.parametrize(("block", "threads"), [(211, 1), (5000, 3)])
def test_the_same_seed_gives_the_same_bytes_whatever_the_blocks(
    scenes: Path, tmp_path: Path, block: int, threads: int
) -> None:
    write_scenes(tmp_path, SceneParameters(seed=6), EXTENT, block=block, threads=threads)
    assert bytes_of(tmp_path) == bytes_of(scenes)


def test_another_seed_gives_other_bytes(scenes: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, SceneParameters(seed=7), EXTENT)
    assert all(ours != theirs for ours, theirs in zip(bytes_of(tmp_path), bytes_of(scenes), strict=True))


def test_files_hold_the_pixels_on_one_grid(scenes: Path) -> None:
    pixels = scene_pixels(SceneParameters(seed=6), 0, 0, EXTENT.height, EXTENT.width)
    grids = set()
    for name, layers in zip(FILES, pixels, strict=False):
        with rasterio.open(scenes / name) as file:
            assert np.array_equal(file.read().reshape(layers.shape), layers)
            grids.add((file.crs.to_epsg(), file.transform, file.shape))
            assert file.profile["tiled"]
            assert file.res == (0.5, 0.5)
    assert len(grids) == 1


def test_images_say_that_they_are_rgb_and_when_they_were_taken(scenes: Path) -> None:
    dates = []
    for name in FILES[:2]:
        with rasterio.open(scenes / name) as file:
            assert file.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            dates.append(file.tags()["TIFFTAG_DATETIME"])
    assert dates == sorted(dates)


def test_the_truth_carries_its_classes_and_colours(scenes: Path) -> None:
    with rasterio.open(scenes / "change.tif") as file:
        assert scheme_from_json(file.tags()[CLASSES_TAG]) == SECOND
        assert file.nodata == SECOND.nodata
        colours = file.colormap(1)
        assert all(colours[each.code][:3] == each.colour for each in SECOND.transitions)


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_the_command_writes_scenes_of_every_scheme(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["synth", str(tmp_path / "out"), "--size", "70,90", "--classes", name])
    assert done.exit_code == 0, done.output
    with rasterio.open(tmp_path / "out" / "change.tif") as file:
        assert file.shape == (70, 90)
        assert file.res[0] == (30 if name == "landsat" else 0.5)


def test_the_command_says_nothing_when_told_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["synth", str(tmp_path), "--size", "40", "--quiet"])
    assert (done.exit_code, done.output) == (0, "")


def test_progress_counts_every_pixel(tmp_path: Path) -> None:
    pixels: list[int] = []
    write_scenes(tmp_path, SceneParameters(), Extent(60, 100), block=33, progress=pixels.append)
    assert sum(pixels) == 6000


def test_scenes_that_exist_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "t2.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"already holds t2\.tif.*--overwrite"):
        write_scenes(tmp_path, SceneParameters(), Extent(30, 30))
    assert (tmp_path / "t2.tif").read_text() == "mine"
    write_scenes(tmp_path, SceneParameters(), Extent(30, 30), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "change.tif.aux.xml"])


def test_scenes_that_another_process_writes_are_left_to_it(tmp_path: Path) -> None:
    with locked(tmp_path / "change.tif"):
        (tmp_path / "t1.tif.partial").write_text("theirs")
        with pytest.raises(OutputError, match="is writing there: wait for it to end"):
            write_scenes(tmp_path, SceneParameters(), Extent(30, 30))
        assert (tmp_path / "t1.tif.partial").read_text() == "theirs"


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t1.tif").write_text("mine")

    def broken(*_args: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("geofcs.synthetic.write.scene_pixels", broken)
    with pytest.raises(OutputError, match="disk on fire"):
        write_scenes(tmp_path, SceneParameters(), Extent(30, 30), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t1.tif"]
    assert (tmp_path / "t1.tif").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="nothing can be written beside it"):
        write_scenes(tmp_path / "file", SceneParameters(), Extent(30, 30))


@pytest.mark.parametrize("size", ["0", "12,", "abc", "1,2,3", "-5", "2000000"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(InputError, match=r"size|scene of"):
        extent_of(size)


def test_a_size_is_height_and_width() -> None:
    assert extent_of("40,50") == Extent(40, 50)
    assert extent_of("40") == Extent(40, 40)


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["synth", str(tmp_path), "--size", "40", "--classes", "mars"])
    assert isinstance(done.exception, InputError)


@pytest.mark.long
def test_memory_does_not_grow_with_the_height(tmp_path: Path) -> None:
    """Linux reports the peak in kilobytes."""
    pytest.importorskip("resource")
    script = (
        "import resource, sys; from pathlib import Path; from geofcs.synthetic import SceneParameters;"
        "from geofcs.synthetic.write import Extent, write_scenes;"
        "write_scenes(Path(sys.argv[1]), SceneParameters(), Extent(int(sys.argv[2]), 512), threads=1);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", script, str(tmp_path / height), height],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for height in ("1024", "4096")
    ]
    # Computing 3,000 more rows at once would take 300 MB; the caches of quarters and of GDAL are still filling up.
    assert peaks[1] - peaks[0] < 120_000


def test_nothing_that_belonged_to_older_scenes_stays_beside_the_new_ones(tmp_path: Path) -> None:
    for name in ("t1.tif.ovr", "t2.tif.msk", "t2.tif.aux.xml", "change.tif.ovr", "mine.txt"):
        (tmp_path / name).write_text("old")
    write_scenes(tmp_path, SceneParameters(), Extent(30, 30), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "change.tif.aux.xml", "mine.txt"])
