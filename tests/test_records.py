"""Plans compared, and records that show damage to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from geofcs.errors import InputError
from geofcs.records import differences, fingerprint, read_json, read_sealed, sealed, write_json

RECORD = {"plan": {"tile": 512, "threshold": 0.5, "small": 1e-07}, "note": "Zürich, a b", "none": None}


def test_differences_name_keys_that_came_and_went() -> None:
    assert differences({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == [
        "a: 1, now null",
        "b.c: 2, now 3",
        "d: null, now 4",
    ]


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})


def test_every_bit_flip_and_every_truncation_of_a_sealed_record_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, sealed(RECORD))
    assert read_sealed(path) == sealed(RECORD)
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 1 << bit]) + whole[i + 1 :] for i in range(len(whole)) for bit in range(8)]
    for damaged in [*flipped, *(whole[:length] for length in range(len(whole)))]:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"run\.json: is damaged"):
            read_sealed(path)


def test_a_record_that_fails_half_way_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, RECORD)
    with pytest.raises(TypeError):
        write_json(path, {"what": object()})
    assert read_json(path) == RECORD
    assert list(tmp_path.iterdir()) == [path]
