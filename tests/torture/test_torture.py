"""A little of everything that `make torture` does: each kind of fault comes, and nothing is wrong, torn or lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = [
    *("kill -9 at a random moment", "kill -9 just before a change", "disk full (or files", "starts at once"),
    *("kill -9 while training states", "damage to a finished output"),
]


@pytest.mark.timeout(900)
def test_nothing_is_wrong_torn_or_lost_after_a_little_torture() -> None:
    """In a process of its own: it forks, and that wants a process without threads."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--quick"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    for fault in FAULTS:
        assert re.search(rf"\| .*{re.escape(fault)}.* \| [1-9]\d* \|", ended.stdout), ended.stdout
