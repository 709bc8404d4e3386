"""What tests of several folders share."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"


def pytest_collection_finish() -> None:
    """What was imported stays: Python need not look through its million objects at every full collection."""
    gc.freeze()


@pytest.fixture
def realdata() -> Path:
    """The folder of real scenes, which is not part of the project: without it a test is skipped."""
    if not REALDATA.is_dir():
        pytest.skip(f"no real scenes in {REALDATA}")
    return REALDATA
