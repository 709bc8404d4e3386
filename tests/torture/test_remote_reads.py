"""Thousands of reads from a server that fails in every way known: right pixels or an error, never anything else."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest
from rasterio.windows import Window

from geofcs.errors import GeofcsError, InputError, SourceError
from geofcs.scene import PairReader, SceneOptions, ScenePair, plan_pair
from tests.remote.conftest import hurried, server
from tests.remote.scenes import ServedScene, served_scene, windows
from tests.remote.server import TRANSIENT, Faults, FaultyServer
from tests.torture.faults import REMOTE_FAULTS, REMOTE_READS, WRONG, tell

__all__ = ["hurried", "server"]

READS = 60
"""Per kind of fault, probability and file."""

READS_WITH_STALLS = 20
"""Of a server that stops sending: each such request takes as long as it is waited for."""

PROBABILITIES = (0.02, 0.1, 0.3)
KINDS = (*TRANSIENT, "404", "403", "flip")

FILES = {
    "deflate": served_scene("deflate", side=1024, block=16),
    "deflate, nodata": served_scene("deflate", side=1024, block=32, nodata=9),
    "zstd": served_scene("zstd", side=1024, block=32),
    "none": served_scene("none", side=1024, block=32),
}

UNCHECKED = {"none": ("wrong range", "flip"), "zstd": ("wrong range", "flip")}
"""Codecs without checksum, and what no reader could notice in their pixels: bytes that are others than stored."""


def cases() -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in itertools.product(FILES, KINDS) if kind not in UNCHECKED.get(name, ())]


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind"), cases())
def test_no_read_is_silently_wrong(name: str, kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_RETRY_DELAY", "0.01")
    if kind == "stall":
        monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "0.5")
    reads = READS_WITH_STALLS if kind == "stall" else READS
    scene = FILES[name]
    server.files["a.tif"] = scene.content
    pair = plan_pair(server.url("a.tif"), server.url("a.tif"), SceneOptions(scale="0,255"))
    counts, faults = Counter[str](), 0
    for number, probability in enumerate(PROBABILITIES):
        server.faults = Faults((kind,), probability, seed=number)
        read_all(pair, scene, windows(1024, 40, reads, seed=number), counts)
        faults += server.faults.total
    tell(REMOTE_READS, counts)
    tell(REMOTE_FAULTS, {kind: faults})
    assert counts[WRONG] == 0
    assert counts["right"] + counts["refused"] == reads * len(PROBABILITIES)
    assert faults > 20
    if kind in ("429", "500", "502", "503", "reset", "stall"):
        assert counts["refused"] == 0, "what is asked for again comes in the end"


def read_all(pair: ScenePair, scene: ServedScene, wanted: list[Window], counts: Counter[str]) -> None:
    """Read the windows by turns of a few, each turn with a reader of its own, as the blocks of a run do."""
    for first in range(0, len(wanted), 5):
        turn = wanted[first : first + 5]
        try:
            reader = pair.open().__enter__()
        except GeofcsError as error:
            assert isinstance(error, SourceError | InputError)
            counts["refused"] += len(turn)
            continue
        with ExitStack() as closing:
            closing.push(reader)
            for window in turn:
                counts[outcome(reader, scene, window)] += 1


def outcome(reader: PairReader, scene: ServedScene, window: Window) -> str:
    rows, cols = window.toslices()
    expected = scene.pixels[:, rows, cols]
    try:
        found = reader.read_values(window)
    except (SourceError, InputError):
        return "refused"
    right = np.array_equal(found.t1, expected) and np.array_equal(found.t2, expected)
    return "right" if right else WRONG
