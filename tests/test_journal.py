"""The staging folder: refusing, resuming, publishing."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.errors import InputError, OutputError
from geofcs.journal import FINISHED_FILE, PLAN_FILE, RUN_FILE, Journal
from geofcs.records import lasting

PLAN = {"tiles": {"tile": 512, "overlap": 64}, "products": {"threshold": 0.5}}
OTHER = {"tiles": {"tile": 512, "overlap": 32}, "products": {"threshold": 0.5}}
POLYGONS = {"min_area_m2": 0.0}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "out")


def finish(journal: Journal, mark: str) -> None:
    (journal.staging / "change.tif").write_text(mark)
    journal.finish(lasting(journal.staging, ["change.tif"]))


def complete(journal: Journal, mark: str) -> None:
    finish(journal, mark)
    journal.complete({"plan": PLAN, "polygons": POLYGONS})


def begun_with_strip(journal: Journal) -> Path:
    journal.begin(PLAN, restart=False)
    strip = journal.strips(PLAN) / "00000-00000.tif"
    strip.touch()
    return strip


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_stands_under_the_final_name_before_publication(journal: Journal) -> None:
    assert not journal.begin(PLAN, restart=False)
    complete(journal, "first")
    assert not journal.out.exists()
    journal.publish()
    assert names_in(journal.out) == ["change.tif", RUN_FILE]
    assert names_in(journal.out.parent) == ["out"]


def test_the_same_plan_goes_on_and_keeps_its_strips(journal: Journal) -> None:
    strip = begun_with_strip(journal)
    assert journal.begin(PLAN, restart=False)
    assert strip.exists()


def test_another_plan_is_refused_with_what_differs_and_keeps_the_strips(journal: Journal) -> None:
    strip = begun_with_strip(journal)
    with pytest.raises(InputError, match=r"tiles\.overlap: 64, now 32.*--restart"):
        journal.begin(OTHER, restart=False)
    assert strip.exists()


def test_restart_begins_anew_and_a_worker_that_outlived_the_old_run_finds_no_folder_to_write_to(
    journal: Journal,
) -> None:
    strip = begun_with_strip(journal)
    assert not journal.begin(OTHER, restart=True)
    assert not strip.parent.exists()
    assert not list(journal.strips(OTHER).iterdir())


def test_what_killed_writers_left_goes_and_what_is_not_ours_stays(journal: Journal) -> None:
    strip = begun_with_strip(journal)
    finish(journal, "first")
    orphans = [
        *(journal.staging / name for name in ("probability.tif", "probability.tif.ovr.tmp", ".run.json.unfinished")),
        strip.with_name(f"{strip.name}.0123.tmp"),
    ]
    for orphan in orphans:
        orphan.touch()
    (journal.staging / ".changes.gpkg.partial").mkdir()
    thesis = journal.staging / "thesis.doc"
    thesis.touch()
    assert journal.begin(PLAN, restart=False)
    assert names_in(journal.staging) == ["change.tif", FINISHED_FILE, PLAN_FILE, "strips", "thesis.doc"]
    assert names_in(strip.parent) == [strip.name]


def test_a_finished_product_counts_until_a_bit_of_it_changes(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    finish(journal, "first")
    assert journal.is_finished(["change.tif"])
    assert not journal.is_finished(["change.tif", "probability.tif"])
    (journal.staging / "change.tif").write_text("fiRst")
    assert not journal.is_finished(["change.tif"])


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
    assert names_in(journal.out.parent) == ["out"]


@pytest.mark.parametrize("killed_after", ["strips", "finished", "plan", "set aside"])
def test_a_publication_that_was_killed_is_taken_up(journal: Journal, killed_after: str) -> None:
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    journal.publish()
    journal.begin(PLAN, restart=False)
    complete(journal, "second")
    journal.strips(PLAN).rmdir()
    if killed_after != "strips":
        (journal.staging / FINISHED_FILE).unlink()
    if killed_after in ("plan", "set aside"):
        (journal.staging / PLAN_FILE).unlink()
    if killed_after == "set aside":
        journal.out.rename(journal.out.with_name("out.replaced-" + "0" * 32))
    journal.settle()
    journal.check_free([], overwrite=True)
    assert (journal.out / "change.tif").read_text() == "first"
    assert journal.begin(PLAN, restart=False)
    assert journal.completed(POLYGONS)
    journal.publish()
    assert (journal.out / "change.tif").read_text() == "second"
    assert names_in(journal.out.parent) == ["out"]


@pytest.mark.parametrize("damaged", ["change.tif", RUN_FILE])
def test_a_complete_run_that_was_damaged_since_is_not_published(journal: Journal, damaged: str) -> None:
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    content = (journal.staging / damaged).read_bytes()
    (journal.staging / damaged).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    assert journal.begin(PLAN, restart=False)
    assert journal.completed(POLYGONS) is None
    assert not (journal.staging / RUN_FILE).exists()
    assert journal.is_finished(["change.tif"]) == (damaged == RUN_FILE)


def test_a_complete_run_with_other_polygons_keeps_its_rasters_and_is_not_published(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    (journal.staging / FINISHED_FILE).unlink()
    (journal.staging / PLAN_FILE).unlink()
    assert journal.completed({"min_area_m2": 9.0}) is None
    assert journal.begin(PLAN, restart=False)
    assert journal.is_finished(["change.tif"])


def test_a_folder_of_something_else_is_never_touched(journal: Journal) -> None:
    journal.out.mkdir()
    (journal.out / "thesis.doc").touch()
    with pytest.raises(OutputError, match="not an output of geofcs"):
        journal.check_free([], overwrite=True)
    (journal.out / "thesis.doc").unlink()
    journal.staging.mkdir()
    (journal.staging / "thesis.doc").touch()
    with pytest.raises(OutputError, match="move it away"):
        journal.check_free([], overwrite=True)


@pytest.mark.parametrize("name", ["out", "out.partial"])
@pytest.mark.parametrize("through_link", [False, True])
def test_an_output_that_holds_an_input_is_refused(journal: Journal, name: str, through_link: bool) -> None:
    holder = journal.out.with_name(name)
    holder.mkdir()
    (holder / "t1.tif").touch()
    path = holder / "t1.tif"
    if through_link:
        path = journal.out.with_name("link.tif")
        path.symlink_to(holder / "t1.tif")
    with pytest.raises(OutputError, match="holds the input"):
        journal.check_free([path], overwrite=True)


def test_an_output_named_like_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="unfinished runs"):
        Journal(tmp_path / "a.partial").check_free([], overwrite=True)


def test_an_empty_folder_may_become_the_output(journal: Journal) -> None:
    journal.out.mkdir()
    journal.check_free([], overwrite=False)
    journal.begin(PLAN, restart=False)
    complete(journal, "first")
    journal.publish()
    assert (journal.out / "change.tif").read_text() == "first"


def test_what_cannot_be_written_is_an_output_error(journal: Journal) -> None:
    journal.begin(PLAN, restart=False)
    journal.staging.rename(journal.out.with_name("elsewhere"))
    with pytest.raises(OutputError, match="cannot write: No such file"):
        journal.finish({"change.tif": {"bytes": 1, "sha256": ""}})
