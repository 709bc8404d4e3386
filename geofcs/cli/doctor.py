"""`geofcs doctor`: what this machine offers, in a terminal or as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option

if TYPE_CHECKING:
    from rich.text import Text

    from geofcs.doctor import Findings, Scan

NAME_COLUMN = 12
"""Characters that names take before the values."""
GIBIBYTE = 2**30
MISSING_EXIT_CODE = 3

Rows = Iterator[tuple[str, "str | Text"]]


def doctor(json: Annotated[bool, Option("--json", help="Print everything as one JSON object.")] = False) -> None:
    """Say what runs the model here and why, what it runs on, and what would make it faster.

    Covers what runs the scan on each device (tried out on a small map), GPUs and driver, the versions of torch, CUDA,
    the kernels, both bundled GDALs and Python, threads and memory. The exit code is 3 if something that geofcs needs
    cannot be imported, else 0.
    """
    import json as json_format
    import warnings

    from geofcs.cli.terminal import stdout
    from geofcs.doctor import examine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever they say is among the findings
        found = examine()
    if json:
        stdout.print(json_format.dumps(found.as_json(), indent=1), markup=False)
    else:
        _print(found)
    if found.missing:
        raise Exit(MISSING_EXIT_CODE)


def _print(found: Findings) -> None:
    from rich.text import Text

    from geofcs.cli.terminal import stdout
    from geofcs.doctor import cures

    for title, rows in _sections(found):
        stdout.print(title, style="bold", markup=False)
        for name, value in rows:
            stdout.print(Text(f"  {name:{NAME_COLUMN - 1}} ", style="dim"), value, sep="", markup=False)
    to_do = list(cures(found))
    stdout.print("What to do" if to_do else "Nothing is missing.", style="bold" if to_do else "green")
    for cure in to_do:
        stdout.print(Text("  ! ", style="yellow"), cure, sep="", markup=False)


def _sections(found: Findings) -> Iterator[tuple[str, Rows]]:
    yield f"geofcs {found.geofcs}", _versions(found)
    yield "What runs the scan", ((device, _scan_line(scan)) for device, scan in found.scan.items())
    yield "Compiled kernels", _kernels(found)
    yield "Machine", _machine(found)


def _versions(found: Findings) -> Rows:
    from rich.text import Text

    yield "Python", f"{found.python} on {found.platform}"
    if found.torch:
        cuda = found.torch["cuda"]
        yield "torch", f"{found.torch['version']}, " + ("built without CUDA" if cuda is None else f"CUDA {cuda}")
    if found.gdal:
        yield "GDAL", ", ".join(f"{gdal} in {name} {found.packages[name]}" for name, gdal in found.gdal.items())
    for name in found.missing:
        yield name, Text("cannot be imported", style="red")


def _scan_line(scan: Scan) -> Text:
    from rich.text import Text

    if scan.failure:
        return Text.assemble((scan.runs, "red"), f" fails: {scan.failure}")
    tried = f"; tried in {scan.seconds:.2g} s, off by {scan.error:.0e}"
    if scan.is_compiled:
        return Text.assemble((scan.runs, "green"), f", {scan.why}{tried}")
    cause = re.split("[:;]", scan.why)[0]  # the cure behind it comes last
    return Text.assemble(("plain torch", "yellow"), f", {cause}{tried}")


def _kernels(found: Findings) -> Rows:
    kernels = found.kernels
    if not kernels:
        yield "version", "not installed"
        return
    if "failure" in kernels:
        yield "version", f"cannot be imported: {kernels['failure']}"
        return
    yield "version", f"{kernels['version']} in {kernels['folder']}"
    yield "for CPUs", kernels["cpu"] or "not compiled"
    yield "for GPUs", kernels["cuda"] or "not compiled, and nothing to compile with"
    yield "cache", f"{kernels['cache']}: {kernels['cached_files']} files, {kernels['cached_bytes'] / 1e6:.1f} MB"


def _machine(found: Findings) -> Rows:
    cpu = found.cpu
    bf16 = {True: ", bfloat16 instructions", False: ", no bfloat16 instructions"}.get(cpu["bf16"], "")
    yield "CPU", f"{cpu['name']}, {cpu['usable_cores']} of {cpu['cores']} cores{bf16}"
    if found.torch:
        yield "threads", f"{found.torch['threads']} in torch, {found.torch['instructions']}"
    if found.memory:
        yield "memory", f"{found.memory['free'] / GIBIBYTE:.1f} of {found.memory['total'] / GIBIBYTE:.1f} GiB free"
    for gpu in found.gpus:
        bf16 = "bfloat16" if gpu["bf16"] else "no bfloat16"
        memory = f"{gpu['memory'] / GIBIBYTE:.0f} GiB"
        yield "GPU", f"{gpu['name']}, {memory}, compute capability {gpu['capability']}, {bf16}"
    yield "driver", f"NVIDIA {found.driver['version']}" if "version" in found.driver else "none of NVIDIA"
