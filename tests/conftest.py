"""What tests of several folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"


@pytest.fixture
def realdata() -> Path:
    """The folder of real scenes, which is not part of the project: without it a test is skipped."""
    if not REALDATA.is_dir():
        pytest.skip(f"no real scenes in {REALDATA}")
    return REALDATA
