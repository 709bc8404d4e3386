"""examples/loading.py: loops with a loader and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LOADING = Path(__file__).parent.parent.parent / "examples" / "loading.py"
SMALL = ("model.size=pico", "data.crop=64", "data.workers=1", "train.device=cpu", "train.batch=2")


def timed(folder: Path, *options: str) -> list[dict[str, Any]]:
    """What the example says of loops on a few pairs."""
    settings = [word for each in SMALL for word in ("--set", each)]
    how = ("--pairs", "6", "--iterations", "3", "--json", folder / "loading.json")
    subprocess.run([sys.executable, LOADING, folder / "pairs", *how, *settings, *options], check=True)
    loops: list[dict[str, Any]] = json.loads((folder / "loading.json").read_text())
    return loops


@pytest.mark.long
def test_loops_of_both_recipes_are_timed_with_their_loader_and_from_memory(tmp_path: Path) -> None:
    second, landsat = timed(tmp_path)
    for split in ("train", "val"):
        assert all(
            len(list(part.iterdir())) == {"train": 6, "val": 4}[split] for part in tmp_path.glob(f"pairs/*/{split}/*")
        )
    assert (second["recipe"], landsat["recipe"]) == ("second", "landsat")
    for loop in (second, landsat):
        assert (loop["crop"], loop["batch"], loop["workers"]) == (64, 2, 1)
        assert loop["ratio"] == loop["with_loader"] / loop["from_memory"]
        assert 0 <= loop["waiting"] < 1
        assert loop["loader_alone"] > 0


@pytest.mark.long
def test_one_recipe_makes_no_pairs_of_the_other(tmp_path: Path) -> None:
    assert [loop["recipe"] for loop in timed(tmp_path, "--recipe", "landsat")] == ["landsat"]
    assert [folder.name for folder in (tmp_path / "pairs").iterdir()] == ["landsat"]
