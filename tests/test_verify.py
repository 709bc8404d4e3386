"""`geofcs verify`: what is whole passes, and every kind of damage to every product is found and named."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio

from geofcs.errors import InputError, VerificationError
from geofcs.records import describe, sealed, write_json
from geofcs.vector.polygonize import polygonize
from geofcs.verify import Verified, verify
from tests.commands import Command
from tests.outputs import write_output
from tests.scene.outside import nobody_opens

FILES = [
    *("change.tif", "change.tif.aux.xml", "probability.tif", "landcover_t1.tif", "landcover_t1.tif.aux.xml"),
    *("landcover_t2.tif", "landcover_t2.tif.aux.xml", "changes.gpkg", "run.json"),
]
"""Every file of an output."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    write_output(out)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def described_anew(out: Path, name: str) -> None:
    """Let run.json believe that a file was written as it is now."""
    run = json.loads((out / "run.json").read_text())
    run.popitem()
    run["outputs"][name] = describe(out / name)
    write_json(out / "run.json", sealed(run))


def test_a_whole_output_passes(whole: Path) -> None:
    found = verify(whole)
    assert sorted(path.name for path in whole.iterdir()) == sorted(FILES)
    polygons = json.loads((whole / "run.json").read_text())["counts"]["polygons"]
    assert found == Verified(len(FILES), sum(path.stat().st_size for path in whole.iterdir()), polygons)


@pytest.mark.parametrize("name", FILES)
def test_truncations_bit_flips_and_loss_of_a_product_are_found_and_named(out: Path, name: str) -> None:
    path, dice = out / name, random.Random(name)
    content = path.read_bytes()
    flips = (dice.randrange(8 * len(content)) for _ in range(10))
    damaged = [
        *(content[: len(content) * share // 6] for share in range(6)),
        content[:-1],
        content + b"\0",
        *(content[: at // 8] + bytes([content[at // 8] ^ 1 << at % 8]) + content[at // 8 + 1 :] for at in flips),
    ]
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(VerificationError, match=rf"out: {re.escape(name)} "):
            verify(out)
    path.unlink()
    with pytest.raises(VerificationError, match=rf"out: {re.escape(name)} is missing"):
        verify(out)


def test_all_damaged_files_are_named_at_once(out: Path) -> None:
    (out / "change.tif").write_bytes(b"")
    (out / "changes.gpkg").unlink()
    with pytest.raises(VerificationError, match=r"change\.tif has 0 bytes instead of \d+; changes\.gpkg is missing: "):
        verify(out)


@pytest.mark.parametrize("name", ["change.tif", "probability.tif"])
def test_a_raster_that_was_written_wrong_is_found_though_its_hash_is_right(out: Path, name: str) -> None:
    content = bytearray((out / name).read_bytes())
    content[len(content) * 2 // 3 :] = bytes(len(content[len(content) * 2 // 3 :]))
    (out / name).write_bytes(content)
    described_anew(out, name)
    with pytest.raises(VerificationError, match=rf"{name} cannot be decoded"):
        verify(out)


def one_less(database: sqlite3.Connection) -> None:
    database.execute("DROP TRIGGER IF EXISTS rtree_changes_geom_delete")
    database.execute("DROP TRIGGER IF EXISTS trigger_delete_feature_count_changes")
    database.execute("DELETE FROM changes WHERE fid = 1")


def no_index(database: sqlite3.Connection) -> None:
    database.execute("DROP TABLE rtree_changes_geom")


def one_twisted(database: sqlite3.Connection) -> None:
    """A bow tie in place of a square: every offset in the file stays where it was."""
    for (name,) in list(database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
        database.execute(f'DROP TRIGGER "{name}"')
    fid, geometry = database.execute("SELECT fid, geom FROM changes WHERE length(geom) = 133 LIMIT 1").fetchone()
    corners = [geometry[at : at + 16] for at in range(len(geometry) - 80, len(geometry), 16)]
    corners[1], corners[2] = corners[2], corners[1]
    database.execute("UPDATE changes SET geom = ? WHERE fid = ?", (geometry[:-80] + b"".join(corners), fid))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (one_less, r"holds \d+ of \d+ polygons"),
        (no_index, r"SQLite says 'no such table"),
        (one_twisted, "valid polygons"),
    ],
)
def test_polygons_that_were_written_wrong_are_found_though_the_hash_is_right(
    out: Path, harm: Callable[[sqlite3.Connection], None], said: str
) -> None:
    database = sqlite3.connect(out / "changes.gpkg")
    database.create_function("ST_IsEmpty", 1, lambda _geometry: 0)
    with database:
        harm(database)
    database.close()
    described_anew(out, "changes.gpkg")
    with pytest.raises(VerificationError, match=rf"out: changes\.gpkg.* {said}"):
        verify(out)


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_output_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="name the output folder"):
        verify(tmp_path / name)


def test_the_command_says_in_one_line_what_it_found_and_its_exit_code_tells(geofcs: Command, out: Path) -> None:
    said = geofcs("verify", out)
    assert said.exit_code == 0
    assert re.fullmatch(r".*out: 9 files, .* polygons: all as written\n", said.text, re.DOTALL)
    damaged = bytearray((out / "change.tif").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (out / "change.tif").write_bytes(damaged)
    said = geofcs("verify", out)
    assert said.exit_code == 8
    assert re.fullmatch(r"geofcs: .*out: change\.tif .*\n", said.text)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "below/secret"])
def test_a_record_cannot_name_a_file_elsewhere(out: Path, name: str) -> None:
    run = json.loads((out / "run.json").read_text())
    run.popitem()
    run["outputs"][name] = run["outputs"]["change.tif"]
    write_json(out / "run.json", sealed(run))
    with pytest.raises(VerificationError, match=f"'{name}' is not the name of a file in it"):
        verify(out)


@pytest.mark.parametrize("side", ["change.tif.ovr", "CHANGE.TIF.msk", "probability.tif.OVR"])
def test_nothing_beside_an_output_is_opened(out: Path, tmp_path: Path, side: str) -> None:
    secret = Path(shutil.copy(out / "change.tif", tmp_path / "secret.tif"))
    source = f"<SimpleSource><SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    (out / side).write_text(
        f"<VRTDataset rasterXSize='9' rasterYSize='9'><VRTRasterBand dataType='Byte' band='1'>{source}</VRTRasterBand>"
        "</VRTDataset>"
    )
    with nobody_opens(secret):
        verify(out)
        polygonize(out / "change.tif", tmp_path / "changes.gpkg")


def test_overviews_that_a_raster_names_elsewhere_are_not_opened(out: Path, tmp_path: Path) -> None:
    secret = Path(shutil.copy(out / "change.tif", tmp_path / "secret.tif"))
    with rasterio.open(out / "change.tif") as file:
        profile, tags, pixels = file.profile, file.tags(), file.read()
    with rasterio.open(out / "change.tif", "w", **profile) as file:
        file.write(pixels)
        file.update_tags(**tags)
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(secret))
    described_anew(out, "change.tif")
    with nobody_opens(secret):
        polygonize(out / "change.tif", tmp_path / "changes.gpkg")
        with pytest.raises(VerificationError, match=r"change\.tif names another file as its overviews"):
            verify(out)
