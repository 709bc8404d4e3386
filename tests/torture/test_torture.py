"""A little of all that `make torture` does to runs: each kind of fault comes, and nothing is wrong, torn or lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.torture import __main__ as torture
from tests.torture.__main__ import NO_DISKS
from tests.torture.faults import DISKS, ENDED, FILE, KILLS, OF_RUNS, OF_TESTS, ON_DISKS, STAGES, WRONG, tell, told
from tests.torture.kills import Bench
from tests.torture.runs import Material
from tests.torture.table import BEGIN, END, as_table, missing, put_between_marks, read_table

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_nothing_is_wrong_torn_or_lost_after_a_little_torture() -> None:
    """In a process of its own: it forks, and that wants a process without threads."""
    command = [sys.executable, "-m", "tests.torture", "--quick"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Wrong, torn or lost: 0." in ended.stdout
    left_out = ON_DISKS if NO_DISKS in ended.stderr else ()
    assert read_table(ended.stdout).keys() == {each.name for each in (*OF_RUNS, ENDED) if each not in left_out}


def test_the_table_in_the_docs_is_what_torture_wrote_of_everything_that_has_to_be_done() -> None:
    faults, page = (*OF_RUNS, *OF_TESTS, ENDED), (ROOT / "docs" / "reliability.md").read_text()
    ended = read_table(page)
    assert missing(faults, ended) == []
    assert as_table(faults, ended) in page


def test_where_disks_cannot_be_mounted_only_a_quick_look_is_taken_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert DISKS.name not in {each.name for each in torture.wanted(quick=True, mounts=False)}
    assert NO_DISKS in capsys.readouterr().err
    with pytest.raises(SystemExit, match="cannot be mounted"):
        torture.wanted(quick=False, mounts=False)


def test_a_fault_that_ends_wrong_is_told_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def torn() -> None:
        raise AssertionError("an output is torn")

    monkeypatch.setenv(FILE, str(tmp_path / "told"))
    inflict = {KILLS: torn, DISKS: lambda: tell(DISKS, {"tiles": 1})}
    monkeypatch.setattr(torture, "faults_of", lambda *_: inflict)
    bench = Bench(tmp_path, Material(tmp_path, tmp_path, tmp_path), {}, tmp_path, {})
    torture.in_lane(bench, 0, replace(torture.QUICK, lanes=1, rounds=2))
    assert told(tmp_path / "told") == {KILLS.name: {WRONG: 2}, DISKS.name: {"tiles": 2}}
    assert "an output is torn" in capsys.readouterr().err


def test_what_was_too_rare_or_wrong_or_never_is_missed() -> None:
    often = Counter(dict.fromkeys(STAGES, 100))
    assert missing([KILLS], {KILLS.name: often}) == []
    assert missing([KILLS], {}) != []
    assert missing([KILLS], {KILLS.name: often - Counter({"tiles": 100})}) == [f"{KILLS.name}: never ended in 'tiles'"]
    assert missing([KILLS], {KILLS.name: often + Counter({WRONG: 1})}) == [f"{KILLS.name}: 1 wrong"]
    enough = Counter({"tiles": 20, "rasters": 20, "polygons": 19, "large enough": 99})
    assert missing([DISKS], {DISKS.name: enough}) == [f"{DISKS.name}: 59 instead of 60"]


def test_what_is_told_comes_into_the_table_and_can_be_read_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "told"))
    for stage in (*STAGES, STAGES[0], WRONG):
        tell(KILLS, {stage: 2})
    ended, page = told(tmp_path / "told"), tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    put_between_marks(page, as_table([KILLS], ended))
    assert "| 300 | 12 | start 4, tiles 2, rasters 2, polygons 2, publish 2 | 2 |" in page.read_text()
    assert read_table(page.read_text()) == ended
