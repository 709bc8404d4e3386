"""No process is a fork of one that has threads: GDAL, CUDA and OpenMP do not survive it."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from geofcs.crew import Crew
from geofcs.schedule.site import local_team
from geofcs.training.loading import start_method
from tests.stubs import Silent
from tests.test_blocks import stub_job
from tests.test_imports import modules


def test_worker_processes_are_started_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forked() -> int:
        raise AssertionError("this process was forked")

    monkeypatch.setattr(os, "fork", forked)
    job = stub_job(tmp_path / "strips", 64, 64)
    blocks = job.lattice.blocks(1)
    with local_team(Crew("processes", 1, 1, 1)) as team:
        assert team.run(job, blocks, Silent(), lambda: False).lost == []
    assert not job.missing(blocks[0])


def test_loaders_of_pairs_do_not_fork_this_process() -> None:
    assert start_method() in ("forkserver", "spawn")


def test_whoever_starts_processes_says_how() -> None:
    for path in modules():
        for call in [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ]:
            name, said = ast.unparse(call.func).split("[")[0], {keyword.arg for keyword in call.keywords}
            assert name not in ("os.fork", "os.forkpty", "multiprocessing.Process", "multiprocessing.Pool"), path
            assert name != "DataLoader" or "multiprocessing_context" in said, path
            assert name != "ProcessPoolExecutor" or "mp_context" in said or len(call.args) > 1, path
            assert not name.endswith("get_context") or [ast.literal_eval(each) for each in call.args] == ["spawn"], path
