"""Every file of an output, cut short and with single bits turned over: `verify` has to find and name each."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from geofcs.errors import VerificationError
from geofcs.verify import verify
from tests.torture.faults import CUTS, FLIPS, tell


def damage_everything(whole: Path, scratch: Path, cuts: int, flips: int) -> None:
    """Do all this to a copy of a finished output."""
    out = Path(shutil.copytree(whole, scratch))
    verify(out)
    for path in sorted(out.iterdir()):
        content, dice = path.read_bytes(), random.Random(path.name)
        bad = [(CUTS, content[: len(content) * number // cuts]) for number in range(cuts)]
        bad += [(FLIPS, _flipped(content, dice.randrange(8 * len(content)))) for _ in range(flips)]
        for fault, damaged in bad:
            path.write_bytes(damaged)
            assert _is_named(out, path.name), (path, fault)
            tell(fault, {path.name: 1})
        path.write_bytes(content)
    verify(out)
    shutil.rmtree(out)


def _flipped(content: bytes, bit: int) -> bytes:
    at = bit // 8
    return content[:at] + bytes([content[at] ^ 1 << bit % 8]) + content[at + 1 :]


def _is_named(out: Path, name: str) -> bool:
    try:
        verify(out)
    except VerificationError as error:
        return f"{out}: {name} " in str(error)
    return False
