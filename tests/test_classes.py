"""Class schemes: the table of from-to codes, and the text that rasters carry."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofcs.classes import (
    BINARY,
    LANDSAT,
    SECOND,
    ClassScheme,
    LandCover,
    scheme_from_json,
    scheme_named,
    scheme_to_json,
)
from geofcs.errors import InputError


def scheme_of(covers: int) -> ClassScheme:
    return ClassScheme(f"made of {covers}", tuple(LandCover(f"cover {i}", (i, 2 * i % 256, 0)) for i in range(covers)))


@given(st.integers(2, 60))
def test_every_pair_of_classes_has_its_own_code_from_one_on(covers: int) -> None:
    scheme = scheme_of(covers)
    before, after = np.mgrid[1 : covers + 1, 1 : covers + 1].reshape(2, -1)
    codes = scheme.encode(before, after)
    assert codes.tolist() == list(range(1, covers * covers + 1))
    assert codes.max() < scheme.nodata


def test_transitions_undo_the_encoding() -> None:
    for scheme in (SECOND, LANDSAT, scheme_of(16)):
        assert [each.code for each in scheme.transitions] == list(range(1, len(scheme.land_covers) ** 2 + 1))
        for each in scheme.transitions:
            assert scheme.encode(each.from_id, each.to_id) == each.code


def test_codes_fit_a_byte_up_to_sixteen_classes() -> None:
    assert (scheme_of(15).count, scheme_of(15).code_dtype.name, scheme_of(15).nodata) == (16, "uint8", 255)
    assert (scheme_of(16).count, scheme_of(16).code_dtype.name, scheme_of(16).nodata) == (17, "uint16", 65535)
    assert scheme_of(255).encode(255, 255) == 255 * 255 < 65535


def test_transitions_say_what_became_what() -> None:
    names = {each.code: each.name for each in SECOND.transitions}
    assert names[int(SECOND.encode(3, 5))] == "tree -> building"
    assert names[int(SECOND.encode(3, 3))] == "tree (changed within)"
    assert len(set(names.values())) == len(names)
    assert SECOND.cover_name(3) == "tree"
    assert SECOND.cover_name(0) == ""


def test_the_binary_scheme_says_changed_and_nothing_else() -> None:
    assert [(each.code, each.name) for each in BINARY.transitions] == [(1, "changed")]
    assert BINARY.encode([5, 2], [1, 1]).tolist() == [1, 1]
    assert BINARY.nodata == 255


@pytest.mark.parametrize(
    "names", [["tree"], ["tree", "tree"], [str(i) for i in range(256)]], ids=["one", "twice", "256"]
)
def test_a_scheme_that_cannot_be_encoded_is_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="class scheme 'bad'"):
        ClassScheme("bad", tuple(LandCover(name, (0, 0, 0)) for name in names))


@pytest.mark.parametrize(
    "scheme", [SECOND, LANDSAT, BINARY, scheme_of(20), ClassScheme("été", scheme_of(2).land_covers)]
)
def test_a_scheme_comes_back_from_its_text(scheme: ClassScheme) -> None:
    assert scheme_from_json(scheme_to_json(scheme)) == scheme


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "3", "null", '{"name": "x"}', '{"name": "x", "land_covers": [{"name": "a"}]}',
        json.dumps({"name": "x", "land_covers": [{"name": n, "colour": [0, 0, 256]} for n in "ab"]}),
        json.dumps({"name": "x", "land_covers": [{"name": n, "colour": [0, 0]} for n in "ab"]}),
    ],
)  # fmt: skip
def test_text_that_is_no_scheme_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a class scheme"):
        scheme_from_json(text)


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert scheme_named("second") is SECOND
    with pytest.raises(InputError, match=r"'sekond'.*second, landsat, binary"):
        scheme_named("sekond")
