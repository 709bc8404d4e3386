"""Files on web servers, read in parts; GDAL reads the pixels, this tells what it does not: whether, why not, which."""

from __future__ import annotations

import base64
import http.client
import netrc
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from geofcs.errors import InputError, SourceError
from geofcs.remote.address import WEB, Address
from geofcs.remote.hosts import inner_address
from geofcs.remote.patience import attempts, most_attempts, timeout_seconds

REFUSALS = (401, 403)
MISSING = (404, 410)
UNSATISFIABLE = 416
"""What a server says to a request for the first byte of nothing."""

BELIEVED_AFTER = 2
"""A refusal, or a missing file, is seldom a passing fault: so many are believed, one if none is tried twice."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class WebFile:
    """A file's size, and its ETag and Last-Modified, where the server tells them."""

    size_bytes: int
    etag: str | None
    modified: str | None


def look_at_web(address: Address) -> WebFile:
    """What the server says of a file, from its first byte.

    Raises `InputError` if it is missing, refused, or only to be had as a whole; `SourceError` if no answer comes.
    """
    return read_web_part(address, 0, 1)[1]


def read_web_part(address: Address, first: int, count: int) -> tuple[bytes, WebFile]:
    """`count` bytes from `first` on, fewer at the end: exactly those, or an error as in `look_at_web`.

    Also what the file was when they were sent.
    """
    return _patiently(address, lambda: _request(address, first, count))


def _request(address: Address, first: int, count: int) -> tuple[bytes, WebFile]:
    request = urllib.request.Request(_plain_url(address), headers=_headers(address))
    request.add_header("Range", f"bytes={first}-{first + count - 1}")
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=timeout_seconds()) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise InputError(
                    f"{address.shown}: its server sends whole files only, no parts of them: download it first"
                )
            return _checked(answer, first, count)
    except urllib.error.HTTPError as error:
        if error.code == UNSATISFIABLE and first == 0:
            return b"", WebFile(0, None, None)
        raise


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the web, but none from the public internet into the network of this machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request to send next; passwords are for the host that they were given for, as with GDAL."""
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if there.scheme not in WEB:
            raise InputError(f"{here.hostname}: its server redirects to {there.scheme}://..., which is not followed")
        inner = inner_address(newurl)
        if inner is not None and inner_address(req.full_url) is None:
            raise InputError(
                f"{here.hostname}: its server redirects to {there.hostname} ({inner}) in the network of this machine, "
                "which is not followed: give that address itself if it is what you want"
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and here.netloc != there.netloc:
            request.remove_header("Authorization")
        return request


def _checked(answer: http.client.HTTPResponse, first: int, count: int) -> tuple[bytes, WebFile]:
    """The bytes asked for, all of them; `ValueError` if others came."""
    said = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", "").strip())
    if said is None:
        raise ValueError("the server does not say which part it sends")
    start, last, size = map(int, said.groups())
    content = answer.read()
    if start != first or last - start + 1 != len(content) or len(content) != min(count, size - first):
        raise ValueError("the server sent another part than was asked for")
    return content, WebFile(size, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


def _patiently(address: Address, ask: Callable[[], Answer]) -> Answer:
    refusals, reason = 0, "no answer"
    for _ in attempts():
        try:
            return ask()
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code}"
            refusals += error.code in (*REFUSALS, *MISSING)
            if refusals == min(BELIEVED_AFTER, most_attempts()):
                raise _refused(address, error.code) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The cause of a URLError, never its text or a request's: they may hold the address.
            reason = type(getattr(error, "reason", error)).__name__ if isinstance(error, OSError) else str(error)
    raise SourceError(
        f"{address.shown}: its server did not answer in many tries ({reason}): when it does again, the same command "
        "goes on"
    )


def _refused(address: Address, status: int) -> InputError:
    if status in MISSING:
        return InputError(f"{address.shown}: no such file on the server (HTTP {status}): check the address")
    return InputError(
        f"{address.shown}: access is refused (HTTP {status}): check user and permissions, or whether a signed address "
        "has expired; with a fresh one the same command goes on"
    )


def _plain_url(address: Address) -> str:
    """The address without user and password, in ASCII."""
    parts = urlsplit(address.url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    return quote(bare, safe="/:?&=+%@!$'()*,;~[]#")


def _headers(address: Address) -> dict[str, str]:
    """What GDAL would send as well: its options for headers and passwords hold here, too."""
    headers = {"User-Agent": "geofcs", "Accept-Encoding": "identity"}
    for line in re.split(r"\r?\n|,(?=[\w-]+:)", os.environ.get("GDAL_HTTP_HEADERS", "")):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    if "GDAL_HTTP_BEARER" in os.environ:
        headers.setdefault("Authorization", f"Bearer {os.environ['GDAL_HTTP_BEARER']}")
    password = _password(address)
    if password is not None:
        headers.setdefault("Authorization", f"Basic {base64.b64encode(password.encode()).decode()}")
    return headers


def _password(address: Address) -> str | None:
    """USER:PASSWORD, from the address, GDAL's option, or the user's .netrc."""
    parts = urlsplit(address.url)
    if parts.username is not None:
        return f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    if "GDAL_HTTP_USERPWD" in os.environ:
        return os.environ["GDAL_HTTP_USERPWD"]
    try:
        entry = netrc.netrc().authenticators(parts.hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return entry and f"{entry[0]}:{entry[2]}"
