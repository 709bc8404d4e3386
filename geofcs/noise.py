"""What libraries would print beside an error of ours, and nobody can use."""

from __future__ import annotations

import sys
from types import TracebackType


def print_no_undecodable_messages() -> None:
    """From now on nothing is printed by this process about messages of GDAL that are not text.

    rasterio cannot log a message that quotes damaged bytes, and Cython prints that failure twice, as an exception of
    nobody's and as one that is ignored. Where the message matters an error comes as well.
    """
    of_nobody, ignored = sys.excepthook, sys.unraisablehook

    def print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not (kind is UnicodeDecodeError and trace is None):
            of_nobody(kind, error, trace)

    def print_ignored(what: sys.UnraisableHookArgs) -> None:
        if what.object != "rasterio._env.log_error":
            ignored(what)

    sys.excepthook, sys.unraisablehook = print_exception, print_ignored
