"""The two consoles that everything is printed through."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


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
