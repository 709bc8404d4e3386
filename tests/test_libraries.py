"""Loading libraries: nothing is looked through meanwhile or later, and garbage is collected again afterwards."""

from __future__ import annotations

import gc

import pytest

from geofcs.libraries import loading


def test_nothing_is_collected_while_libraries_load_and_what_there_is_stays_uncollected() -> None:
    try:
        with loading():
            assert not gc.isenabled()
            library: list[list[int]] = [[] for _ in range(100)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= len(library)
        assert not any(each is library for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_library_that_is_missing_leaves_collecting_as_it_was() -> None:
    try:
        with pytest.raises(ImportError), loading():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
