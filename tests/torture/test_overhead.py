"""Verification and the journal cost next to nothing, and what measures that measures all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.overhead import TIMED, name_of, spent_in

MOST = 0.03
"""Of the time of a run."""


def test_a_run_calls_everything_that_is_timed(tmp_path: Path) -> None:
    spent = spent_in(tmp_path, size=96, tile=64)
    assert spent.within.keys() == {name_of(owner, function) for owner, function in TIMED}
    assert 0 < spent.share < 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_verification_and_journal_take_three_percent_of_a_run_at_most(tmp_path: Path) -> None:
    spent = spent_in(tmp_path, size=1536)
    assert spent.share <= MOST, spent
