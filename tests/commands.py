"""The command line in the process of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a command said on stderr, and its exit code."""

    text: str
    exit_code: int


Command = Callable[..., Said]
"""Runs a command with its arguments, as its console script would."""
