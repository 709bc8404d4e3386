"""examples/loading.py: loops with a loader and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOADING = Path(__file__).parent.parent.parent / "examples" / "loading.py"
SMALL = ("model.size=pico", "data.crop=64", "data.workers=1", "train.device=cpu", "train.batch=2")


@pytest.mark.long
def test_loops_of_both_recipes_are_timed_with_their_loader_and_from_memory(tmp_path: Path) -> None:
    settings = [word for each in SMALL for word in ("--set", each)]
    how = ("--pairs", "6", "--iterations", "3", "--json", tmp_path / "loading.json")
    subprocess.run([sys.executable, LOADING, tmp_path / "pairs", *how, *settings], check=True)
    for split in ("train", "val"):
        assert all(
            len(list(part.iterdir())) == {"train": 6, "val": 4}[split] for part in tmp_path.glob(f"pairs/*/{split}/*")
        )
    second, landsat = json.loads((tmp_path / "loading.json").read_text())
    assert (second["recipe"], landsat["recipe"]) == ("second", "landsat")
    for loop in (second, landsat):
        assert (loop["crop"], loop["batch"], loop["workers"]) == (64, 2, 1)
        assert loop["ratio"] == loop["with_loader"] / loop["from_memory"]
        assert 0 <= loop["waiting"] < 1
        assert loop["loader_alone"] > 0
