"""`geofcs check` says what would be compared, and writes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner

from geofcs.cli.app import app
from geofcs.errors import InputError
from tests.scene.rasters import ORIGIN, noise, write


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["check", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_two_scenes_are_told_apart_line_by_line(tmp_path: Path) -> None:
    pixels = noise(dtype="uint16")
    pixels[:, :45] = 0
    t1 = write(tmp_path / "t1.tif", pixels, nodata=0)
    t2 = write(tmp_path / "t2.tif", noise(dtype="uint16"), ORIGIN @ Affine.translation(0.5, 0))
    before = sorted(tmp_path.iterdir())
    text = said(t1, t2)
    for line in (
        *(t1, t2, "120 x 90, pixels of 10 x 10, EPSG:32631, uint16", "bands 1, 2, 3; left out by nodata 0.0"),
        *("read pixel by pixel, from row 0, column 0 on", "resampled (bilinear)", "nothing declared invalid"),
        *("become 0-255", "compared", "valid", "% of a sample of pixels", "note", "is resampled onto the pixels of T1"),
    ):
        assert line in text
    share = float(text.split("valid       ")[1].split(" %")[0])
    assert abs(share - 50) < 1
    assert sorted(tmp_path.iterdir()) == before


def test_the_options_of_detect_hold(tmp_path: Path) -> None:
    t1 = write(tmp_path / "t1.tif", noise())
    mask = write(tmp_path / "mask.tif", np.zeros((90, 120), np.uint8))
    text = said(t1, t1, "--bands", "2", "--mask-t2", mask, "--aoi", "500100,4999500,500500,4999900")
    for line in ("bands 2", "left out by the mask mask.tif", "40 x 40", "inside 500100", "as they stand", "100.0 %"):
        assert line in text


def test_scenes_that_cannot_be_compared_are_refused_as_by_detect(tmp_path: Path) -> None:
    t1 = write(tmp_path / "t1.tif", noise())
    t2 = write(tmp_path / "t2.tif", noise(), ORIGIN @ Affine.translation(500, 0))
    with pytest.raises(InputError, match="do not overlap"):
        said(t1, t2)


def test_damaged_text_in_a_header_puts_nothing_beside_what_the_command_says(tmp_path: Path) -> None:
    """In a process of its own: Cython prints what rasterio cannot log straight to the standard error."""
    path = write(tmp_path / "t1.tif", noise())
    with rasterio.open(path, "r+") as file:
        file.update_tags(LINEAGE="somebody's")
    content = Path(path).read_bytes()
    assert b"<GDALMetadata>" in content
    Path(path).write_bytes(content.replace(b"<GDALMetadata>", b"<GDAL\xb0etadata>"))
    command = [sys.executable, "-m", "geofcs", "check", path, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "compared" in done.stdout
    assert done.stderr == ""
