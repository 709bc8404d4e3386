"""The command line in the process of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from geofcs.cli.terminal import show_failure


@dataclass(frozen=True)
class Said:
    """What a command said on stderr, and its exit code."""

    text: str
    exit_code: int


def end_here(sentence: object, exit_code: int) -> NoReturn:
    """In the place of `end_at_once`: a thread of a block may live still, which must not end the tests."""
    if sentence is not None:
        show_failure(sentence)
    raise SystemExit(exit_code)


Command = Callable[..., Said]
"""Runs a command with its arguments, as its console script would."""
