"""Where a file lies, from what the user wrote: what opens it, and what may be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from geofcs.errors import InputError

WEB = ("http", "https")

BUCKETS = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
"""Object stores, and GDAL's name for each."""

ARCHIVES = {"zip": "/vsizip/", "tar": "/vsitar/", "gzip": "/vsigzip/"}
"""Archives that are looked into on request, and GDAL's name for each."""

BUCKET = re.compile(r"\$?[A-Za-z0-9][A-Za-z0-9._-]*")
"""The names of buckets that stores allow; in another one a character could end the name of a host."""

_DOTS = re.compile(r"(\.|%2e){1,2}", re.IGNORECASE)
"""Parts of an address that lead elsewhere than it seems, once a program has worked them out."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ARCHIVE = re.compile(
    r"\{(?P<braced>[^{}]+)\}(?P<rest>.*)|(?P<plain>.+?\.(?:zip|tar|tgz|tar\.gz|gz))(?P<inside>(?:/.*)?)"
)
_KNOWN = "give a path, or an address that begins with https://, s3://, gs:// or az://"


@dataclass(frozen=True)
class Address:
    """A file on a disk (`scheme` ""), on the web or in a bucket.

    `rest` is the absolute path, or what follows the scheme; it may hold a signature or a password, so it is neither
    printed nor written anywhere. `archive` and `member` name a file inside it, where it is an archive.
    """

    scheme: str
    rest: str = field(repr=False)
    archive: str = ""
    member: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it lies in this machine's file system."""
        return not self.scheme

    @property
    def url(self) -> str:
        """The whole address, secrets included; a path where it is local."""
        return f"{self.scheme}://{self.rest}" if self.scheme else self.rest

    @property
    def shown(self) -> str:
        """The address without password, query and fragment, for messages and records."""
        inside = f"/{self.member}" if self.member else ""
        if self.scheme not in WEB:
            return f"{self.url}{inside}"
        parts = urlsplit(self.url)
        return f"{self.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{inside}"

    @property
    def name(self) -> str:
        """The last part, for messages."""
        return self.shown.rstrip("/").rsplit("/", 1)[-1]

    @property
    def gdal(self) -> str:
        """What GDAL calls it."""
        if self.scheme in WEB:
            plain = f"/vsicurl/{self.url}"
        else:
            plain = BUCKETS[self.scheme] + self.rest if self.scheme else self.rest
        if not self.archive:
            return plain
        return f"{ARCHIVES[self.archive]}{{{plain}}}" + (f"/{self.member}" if self.member else "")


def parse_address(text: str, archives: tuple[str, ...] = ()) -> Address:
    """The address that a text stands for; `archives` are the keys of `ARCHIVES` that may be looked into.

    Raises `InputError` for whatever is not plainly the name of one file: XML, connection strings of GDAL, and its
    virtual file systems other than those of the web, of buckets and of the archives asked for.
    """
    if not text.strip():
        raise InputError("the name of a file is empty: give its path")
    if "\0" in text or "\n" in text or text.lstrip().startswith("<"):
        raise InputError(f"{_brief(text)}: is not the name of a file: {_KNOWN}")
    if text.startswith("/vsi"):
        return _virtual(text, archives)
    found = _SCHEME.match(text)
    if found is None:
        return Address("", str(Path(text).absolute()))
    scheme, rest = found[1].lower(), found[2]
    if scheme not in (*WEB, *BUCKETS):
        raise InputError(f"{scheme}://...: is no address that geofcs reads: {_KNOWN}")
    _check_complete(scheme, rest)
    return Address(scheme, rest)


def stem_of(text: str) -> str:
    """The name of a file without folder, ending and secrets; errors as in `parse_address`."""
    return Path(parse_address(text, tuple(ARCHIVES)).name).stem


def _check_complete(scheme: str, rest: str) -> None:
    host, _, path = rest.partition("?")[0].partition("/") if scheme in WEB else rest.partition("/")
    if not host.rpartition("@")[2] or not path:
        wanted = "HOST/PATH" if scheme in WEB else "BUCKET/NAME"
        raise InputError(f"{scheme}://{host.rpartition('@')[2]}: names no file: write it as {scheme}://{wanted}")
    if any(_DOTS.fullmatch(part) for part in re.split(r"[/\\]", re.split("[?#]", path)[0])):
        raise InputError(
            f"{scheme}://{host.rpartition('@')[2]}: '.' or '..' in the path leads elsewhere than it seems: write the "
            "address without"
        )
    if scheme in BUCKETS and not BUCKET.fullmatch(host):
        raise InputError(f"{scheme}://{_brief(host)}: is not the name of a bucket: letters, digits, '.', '-' and '_'")


def _virtual(text: str, archives: tuple[str, ...]) -> Address:
    """What a name of GDAL's virtual file systems stands for."""
    if text.startswith("/vsicurl/"):
        inner = text.removeprefix("/vsicurl/")
        if inner.partition("://")[0].lower() in WEB:
            return parse_address(inner)
    for scheme, prefix in BUCKETS.items():
        if text.startswith(prefix):
            return parse_address(f"{scheme}://{text.removeprefix(prefix)}")
    for archive, prefix in ARCHIVES.items():
        if text.startswith(prefix):
            return _inside(text.removeprefix(prefix), archive, archives)
    system = "/".join(re.split(r"[/?]", text)[:2])
    raise InputError(f"{system}/...: is no file system that geofcs reads: {_KNOWN}")


def _inside(text: str, archive: str, archives: tuple[str, ...]) -> Address:
    if archive not in archives:
        raise InputError(
            f"{ARCHIVES[archive]}...: archives are not looked into unasked: unpack it, or, for scenes and masks, add "
            f"--allow-driver {archive}"
        )
    found = _ARCHIVE.fullmatch(text)
    if found is None:
        raise InputError(f"{ARCHIVES[archive]}...: write it as {ARCHIVES[archive]}{{ARCHIVE}}/NAME")
    around = parse_address(found["braced"] or found["plain"])
    member = (found["rest"] or found["inside"] or "").lstrip("/")
    if ".." in member.split("/"):
        raise InputError(f"{around.shown}: {member}: leads out of the archive: name a file in it")
    return Address(around.scheme, around.rest, archive, member)


def _brief(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text).strip()[:40]
