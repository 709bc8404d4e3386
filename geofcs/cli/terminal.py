"""The two consoles that everything is printed through."""

from __future__ import annotations

import os
import sys
from typing import NoReturn, TextIO

from rich.console import Console

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def show_failure(sentence: object) -> None:
    """What ends a command, as one line."""
    stderr.print(f"geofcs: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)


def end_at_once(sentence: object, exit_code: int) -> NoReturn:
    """Say what is wrong, unless that was said already, and end without the interpreter's farewell.

    For a process whose threads may wait for another that is gone.
    """
    if sentence is not None:
        show_failure(sentence)
    stderr.show_cursor()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001, the signature is that of warnings.showwarning
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """A warning as one line, in place of Python's two that name a source file."""
    stderr.print(f"geofcs: {message}", style="yellow", markup=False)
