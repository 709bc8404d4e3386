"""Folders that appear whole: kept unless they are to be replaced, and written by one at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geofcs.errors import OutputError
from geofcs.staging import staged


def test_an_existing_folder_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="--overwrite"), staged(tmp_path / "out", overwrite=False):
        pass
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "out", overwrite=True):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with staged(tmp_path / "out", overwrite=True) as folder:
        (folder / "x").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x"]


def test_a_second_writer_is_refused_and_what_the_first_has_written_stays(tmp_path: Path) -> None:
    with staged(tmp_path / "out", overwrite=False) as folder:
        (folder / "x").touch()
        refused = pytest.raises(OutputError, match=f"out: process {os.getpid()} on .* is writing there")
        with refused, staged(tmp_path / "out", overwrite=True):
            pass
        assert (folder / "x").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_writer_left_goes_and_the_unfinished_run_of_detect_beside_it_stays(tmp_path: Path) -> None:
    for name in (".out.unfinished", "out.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").touch()
    with staged(tmp_path / "out", overwrite=False) as folder:
        assert not list(folder.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.partial"]
    assert not list((tmp_path / "out").iterdir())
