"""The command on a cluster of separate processes on loopback, as docs/cluster.md says it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from geofcs.synthetic.write import Extent
from tests.made import make_material
from tests.schedule.processes import process_cluster


def detect(folder: Path, out: str, *options: str) -> tuple[int, str]:
    command = [
        *(sys.executable, "-m", "geofcs", "detect", str(folder / "t1.tif"), str(folder / "t2.tif"), "--quiet"),
        *("--weights", str(folder / "w.safetensors"), "-o", str(folder / out), "--tile", "64", "--overlap", "16"),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.long
def test_the_command_writes_the_same_bytes_on_a_cluster_and_says_what_it_cannot_do_there(tmp_path: Path) -> None:
    make_material(tmp_path, Extent(200, 260))
    with process_cluster(tmp_path) as cluster:
        cluster.start_worker()
        assert detect(tmp_path, "cluster", "--scheduler", cluster.address) == (0, "")
        code, said = detect(tmp_path, "other", "--scheduler", cluster.address, "--device", "cuda")
        assert (code, "dask worker --resources GPU=1" in said) == (3, True)
        code, said = detect(tmp_path, "other", "--scheduler", cluster.address, "--workers", "3")
        assert (code, "leave it out with --scheduler" in said) == (2, True)
    assert detect(tmp_path, "here", "--workers", "1") == (0, "")
    here, there = (
        {path.name: hashlib.sha256(path.read_bytes()).digest() for path in (tmp_path / out).glob("*.tif")}
        for out in ("here", "cluster")
    )
    assert here == there
