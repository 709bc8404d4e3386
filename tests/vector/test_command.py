"""`geofcs polygonize` as it is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio

from tests.vector.rasters import write_raster


def begun(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "geofcs", "polygonize", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_polygons_come_from_a_command(tmp_path: Path) -> None:
    codes = np.zeros((30, 30), np.uint8)
    codes[2:9, 2:9] = codes[20, 20] = 3
    change = write_raster(tmp_path / "change.tif", codes, scheme=None)
    out = tmp_path / "x.gpkg"
    done = begun(change, "-o", out, "--classes", "landsat", "--min-area", "200", "--date-t1", "2001-02-03")
    assert (done.communicate()[1], done.returncode) == (f"1 polygons in {out}, 1 below 200 m2\n", 0)
    layer = pyogrio.read_dataframe(out, layer="changes")
    assert layer[["to_class", "pixels", "date_t1"]].to_numpy().tolist() == [["building", 49, "2001-02-03"]]


def test_a_refusal_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    change = write_raster(tmp_path / "change.tif", np.ones((30, 30), np.uint8), scheme=None)
    (tmp_path / "x.gpkg").touch()
    refused = [
        (3, (change, "-o", tmp_path / "y.gpkg")),
        (3, (change, "-o", tmp_path / "y.gpkg", "--classes", "sekond")),
        (5, (change, "-o", tmp_path / "x.gpkg", "--classes", "second")),
        (2, (change, "-o", tmp_path / "x.shp", "--classes", "second")),
    ]
    processes = [(code, begun(*words)) for code, words in refused]  # nearly all of their time is that of imports
    for code, process in processes:
        _, said = process.communicate()
        assert process.returncode == code
        assert said.startswith("geofcs: ")
        assert said.count("\n") == 1
