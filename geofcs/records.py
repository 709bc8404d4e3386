"""Records as JSON files: plans compared key by key, outputs described by size and hash, the record of a run sealed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geofcs.durable import sha256, sync, written_whole
from geofcs.errors import InputError

SEAL = "sha256_of_all_above"
"""The last key of a sealed record: the SHA-256 of its text without it."""

Plan = dict[str, Any]
"""Everything that decides the rasters' bytes, as JSON."""

Described = dict[str, dict[str, int | str]]
"""Size in bytes and SHA-256 of files, by name."""


def differences(before: Plan, now: Plan, prefix: str = "") -> list[str]:
    """What differs between two plans, each as `key: old, now new`."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_brief(old)}, now {_brief(new)}")
    return found


def fingerprint(plan: Plan) -> str:
    """SHA-256 of a plan: equal plans give equal rasters."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def describe(path: Path) -> dict[str, int | str]:
    """Size in bytes and SHA-256 of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def lasting(folder: Path, names: Iterable[str]) -> Described:
    """The same of files that are on the disk from now on. Raises `OSError`."""
    described = {}
    for name in names:
        sync(folder / name)
        described[name] = describe(folder / name)
    return described


def is_as_described(path: Path, described: dict[str, int | str]) -> bool:
    """Whether the file is there, and is to the last bit what was described."""
    return path.is_file() and path.stat().st_size == described["bytes"] and describe(path) == described


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that the file appears complete or not at all. Raises `OSError`."""
    with written_whole(path) as unfinished:
        unfinished.write_text(_as_text(content), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """What a file of `write_json` holds. Raises `InputError` if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is damaged or cannot be read ({error}): add --restart to begin anew") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: is damaged, it holds no record: add --restart to begin anew")
    return content


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content with the SHA-256 of its text, by which damage to the record itself is seen."""
    return {**content, SEAL: hashlib.sha256(_as_text(content).encode()).hexdigest()}


def read_sealed(path: Path) -> dict[str, Any]:
    """The content of a sealed record. Raises `InputError` if a single byte is not what was written."""
    content = read_json(path)
    unsealed = {key: value for key, value in content.items() if key != SEAL}
    if sealed(unsealed) != content or path.read_bytes() != _as_text(content).encode():
        raise InputError(f"{path}: is damaged: it is not what was written")
    return content


def _as_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
