"""Damaged GeoTIFFs end in errors of ours or in pixels: never in a crash, a hang, or memory without end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.faults import DAMAGED_TIFFS, tell

pytest.importorskip("resource", reason="memory is limited by the system's rlimit")


@pytest.mark.parametrize(
    ("count", "seed"), [(200, 1), *(pytest.param(2500, seed, marks=pytest.mark.long) for seed in range(2, 7))]
)
def test_damaged_files_end_in_errors_of_ours(count: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.fuzzing", str(count), str(seed)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ends = json.loads(done.stdout)
    tell(DAMAGED_TIFFS, ends)
    assert sum(ends.values()) == count
    assert set(ends) <= {"read", "InputError", "SourceError"}
    assert ends["read"] > count / 20
    assert ends["InputError"] > count / 4
