"""How the command ends: at once where Python's farewell would only take time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from geofcs import __version__

COMMAND = """
import atexit, multiprocessing, sys, time, types
from geofcs.cli import main
if __name__ == "__main__":
    cuda = types.SimpleNamespace(is_initialized=lambda: {holds_a_gpu})
    sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
    atexit.register(print, "farewell")
    if {has_a_child}:
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True).start()
    sys.argv[1:] = {arguments}
    main()
"""


def ended(arguments: list[str], *, holds_a_gpu: bool, has_a_child: bool = False) -> subprocess.CompletedProcess[str]:
    program = COMMAND.format(arguments=arguments, holds_a_gpu=holds_a_gpu, has_a_child=has_a_child)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)


def test_a_process_that_has_worked_on_a_gpu_ends_without_taking_itself_apart() -> None:
    result = ended(["--version"], holds_a_gpu=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"geofcs {__version__}\n", "")


@pytest.mark.parametrize("has_a_child", [False, True])
def test_any_other_says_farewell_and_one_with_children_ends_them(has_a_child: bool) -> None:
    result = ended(["--version"], holds_a_gpu=has_a_child, has_a_child=has_a_child)
    assert (result.returncode, result.stdout) == (0, f"geofcs {__version__}\nfarewell\n")


def test_the_exit_code_is_what_it_would_have_been_and_what_was_said_is_there() -> None:
    result = ended(["verify", "/nowhere/at/all"], holds_a_gpu=True)
    other = ended(["verify", "/nowhere/at/all"], holds_a_gpu=False)
    assert result.returncode == other.returncode > 0
    assert result.stderr == other.stderr != ""
