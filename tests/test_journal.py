"""The staging folder: refusing, resuming, publishing."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.errors import InputError, OutputError
from geofcs.journal import RUN_FILE, Journal, differences, fingerprint, write_json

PLAN = {"tiles": {"tile": 512, "overlap": 64}, "products": {"threshold": 0.5}}
OTHER = {"tiles": {"tile": 512, "overlap": 32}, "products": {"threshold": 0.5}}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "out")


def complete(journal: Journal, mark: str) -> None:
    (journal.staging / "change.tif").write_text(mark)
    write_json(journal.staging / RUN_FILE, {"plan": PLAN})


def test_nothing_stands_under_the_final_name_before_publication(journal: Journal) -> None:
    assert not journal.begin(PLAN, restart=False)
    complete(journal, "first")
    assert not journal.out.exists()
    journal.publish()
    assert sorted(path.name for path in journal.out.iterdir()) == ["change.tif", RUN_FILE]
    assert [path.name for path in journal.out.parent.iterdir()] == ["out"]


def test_the_same_plan_goes_on_and_keeps_its_strips(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    (journal.strips / "00000-00000.tif").touch()
    assert journal.begin(PLAN, restart=False)
    assert (journal.strips / "00000-00000.tif").exists()


def test_another_plan_is_refused_with_what_differs_and_keeps_the_strips(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    (journal.strips / "00000-00000.tif").touch()
    with pytest.raises(InputError, match=r"tiles\.overlap: 64, now 32.*--restart"):
        journal.begin(OTHER, restart=False)
    assert (journal.strips / "00000-00000.tif").exists()


def test_restart_begins_anew(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    (journal.strips / "00000-00000.tif").touch()
    assert not journal.begin(OTHER, restart=True)
    assert not list(journal.strips.iterdir())


def test_a_complete_output_is_refused_without_overwrite_and_intact_until_the_new_one_is_complete(
    journal: Journal,
) -> None:
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    journal.publish()
    with pytest.raises(OutputError, match="--overwrite"):
        journal.check_free([], overwrite=False)
    journal.check_free([], overwrite=True)
    journal.begin(OTHER, restart=False)
    assert (journal.out / "change.tif").read_text() == "first"
    complete(journal, "second")
    journal.publish()
    assert (journal.out / "change.tif").read_text() == "second"
    assert [path.name for path in journal.out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("killed_after", ["strips", "plan", "set aside"])
def test_a_publication_that_was_killed_is_taken_up(journal: Journal, killed_after: str) -> None:
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    journal.publish()
    journal.begin(PLAN, restart=False)
    complete(journal, "second")
    journal.strips.rmdir()
    if killed_after != "strips":
        (journal.staging / "plan.json").unlink()
    if killed_after == "set aside":
        journal.out.rename(journal.replaced)
    journal.check_free([], overwrite=True)
    assert journal.begin(PLAN, restart=False)
    assert journal.is_complete
    assert (journal.out / "change.tif").read_text() == "first"
    journal.publish()
    assert (journal.out / "change.tif").read_text() == "second"
    assert [path.name for path in journal.out.parent.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_never_touched(journal: Journal) -> None:
    journal.out.mkdir()
    (journal.out / "thesis.doc").touch()
    with pytest.raises(OutputError, match="not an output of geofcs"):
        journal.check_free([], overwrite=True)
    journal.staging.mkdir()
    (journal.staging / "thesis.doc").touch()
    with pytest.raises(OutputError, match="move it away"):
        journal.begin(PLAN, restart=False)


def test_an_output_that_holds_an_input_is_refused(journal: Journal) -> None:
    with pytest.raises(OutputError, match=r"holds the input t1\.tif"):
        journal.check_free([journal.out / "t1.tif"], overwrite=True)


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        Journal(tmp_path / "file" / "out").check_free([], overwrite=False)


def test_differences_name_keys_that_came_and_went() -> None:
    assert differences({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == [
        "a: 1, now null",
        "b.c: 2, now 3",
        "d: null, now 4",
    ]


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
