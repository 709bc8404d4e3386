"""What a worker of a cluster must meet before it is given blocks: the same software, the same files, room to write."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from geofcs.blocks import BlockJob
from geofcs.errors import GeofcsError, InputError
from geofcs.report import versions

MAY_DIFFER = "platform"
"""The one entry of `versions` that says nothing about the software."""

_met: set[str] = set()


@dataclass(frozen=True)
class Terms:
    """Versions as (name, version), and a file in the folder of strips with the text that it was given."""

    versions: tuple[tuple[str, str], ...]
    token: Path
    text: str


def versions_here() -> tuple[tuple[str, str], ...]:
    """Versions of everything that has a say in the bytes, in this process; Python's without the patch level."""
    found = {name: version for name, version in versions().items() if name != MAY_DIFFER}
    found["python"] = found["python"].rpartition(".")[0]
    return tuple(sorted(found.items()))


@contextmanager
def terms_for(job: BlockJob) -> Iterator[Terms]:
    """The terms of a job, for as long as its blocks are computed."""
    text = uuid.uuid4().hex
    token = job.strips / f"{text}.token"
    token.write_text(text, encoding="utf-8")
    try:
        yield Terms(versions_here(), token, text)
    finally:
        token.unlink(missing_ok=True)


def objections(terms: Terms, job: BlockJob) -> list[str]:
    """Executed on a worker: what speaks against it, each as half a sentence; it loads the model in passing."""
    against = [
        *differing(dict(terms.versions), dict(versions_here())),
        *_objections_to_files(terms, job),
    ]
    if not against:
        _met.add(terms.text)
    return against


def insist(terms: Terms, job: BlockJob) -> None:
    """Executed before each block: a worker that came later meets the terms as well, or `InputError` names it."""
    if terms.text not in _met:
        against = objections(terms, job)
        if against:
            raise InputError(f"a worker that joined the cluster {'; it '.join(against)}: mend or remove it, then go on")


def differing(here: dict[str, str], there: dict[str, str]) -> list[str]:
    """How the software of a worker differs."""
    return [
        f"has {name} {there.get(name, 'nowhere')}, here it is {version}"
        for name, version in here.items()
        if there.get(name) != version
    ]


def _objections_to_files(terms: Terms, job: BlockJob) -> list[str]:
    against = []
    try:
        with job.pair.open():
            pass
    except GeofcsError as error:
        against.append(f"cannot read a scene ({error})")
    try:
        job.scorer.load().check()
    except GeofcsError as error:
        against.append(f"cannot load the model ({error})")
    try:
        seen = terms.token.read_text(encoding="utf-8")
    except OSError as error:
        return [*against, f"does not see {terms.token.parent} ({error.strerror}): is it on a shared file system?"]
    if seen != terms.text:
        against.append(f"sees another {terms.token.parent}: is it on a shared file system?")
    attempt = terms.token.with_name(f"{uuid.uuid4().hex}.token")
    try:
        attempt.write_text("", encoding="utf-8")
        attempt.unlink()
    except OSError as error:
        against.append(f"cannot write into {terms.token.parent} ({error.strerror})")
    return against
