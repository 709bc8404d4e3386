"""The ways in which a command can fail, each with its exit code; a message says what is wrong, where, and the cure."""

from __future__ import annotations


class GeofcsError(Exception):
    """A failure that the user can understand and mend: shown as one line, without a traceback."""

    exit_code = 1


class UsageError(GeofcsError):
    """The command line contradicts itself."""

    exit_code = 2


class InputError(GeofcsError):
    """An input, or the plan made from the inputs, cannot be worked with."""

    exit_code = 3


class SourceError(GeofcsError):
    """A source that could be opened cannot be read any more."""

    exit_code = 4


class OutputError(GeofcsError):
    """An output exists, cannot be written, or would be too large."""

    exit_code = 5


class LostLockError(OutputError):
    """Another machine writes the output now, which believed this process dead."""


class ComputeError(GeofcsError):
    """The model ran out of memory or produced numbers that are not finite, or the workers were lost."""

    exit_code = 6


class LostGpuError(ComputeError):
    """A GPU answers nothing but errors any more to this process, in which what it holds there cannot be given back."""


class StalledError(GeofcsError):
    """Nothing was finished any more for longer than was allowed; what hangs may go on hanging in threads."""

    exit_code = ComputeError.exit_code


class StalledSourceError(StalledError):
    """The same, while pixels of a source were waited for."""

    exit_code = SourceError.exit_code


class IncompleteError(GeofcsError):
    """Everything is written, but some tiles could not be computed and are nodata, as was asked for."""

    exit_code = 7


class VerificationError(GeofcsError):
    """What was written is not what was computed."""

    exit_code = 8


class StoppedError(GeofcsError):
    """The run was asked to stop, and did; what is finished stays. The command line exits by the signal's number."""

    exit_code = 130
