"""A web server on loopback that serves bytes by ranges, as object stores do, and fails in the ways they fail."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

STALL_SECONDS = 3.0

STATUSES = {"429": 429, "500": 500, "502": 502, "503": 503, "404": 404, "403": 403, "401": 401}
"""Faults that are an HTTP status."""

TRANSIENT = ("429", "500", "502", "503", "reset", "stall", "short", "wrong range")
"""Faults that a healthy server may show now and then, all of which a read must survive or report."""


@dataclass
class Faults:
    """Which requests fail, and how: each with `probability` by one of `kinds`, or as `pick` says."""

    kinds: tuple[str, ...] = ()
    probability: float = 0.0
    seed: int = 0
    pick: Callable[[str, int], str | None] | None = None
    injected: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _number: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def total(self) -> int:
        """How many requests failed."""
        return sum(self.injected.values())

    def draw(self, request: str) -> str | None:
        """The fault of the next request, or None."""
        with self._lock:
            self._number += 1
            fault = None
            if self.pick is not None:
                fault = self.pick(request, self._number)
            elif self.kinds and self._random.random() < self.probability:
                fault = self._random.choice(self.kinds)
            if fault:
                self.injected[fault] += 1
            return fault


@dataclass
class FaultyServer:
    """Files by name, the faults to come, and what was asked for."""

    files: dict[str, bytes]
    faults: Faults = field(default_factory=Faults)
    ranges: bool = True
    etags: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    passwords: list[str | None] = field(default_factory=list)
    port: int = 0

    def url(self, name: str) -> str:
        """Where a file is served."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def etag(self, name: str) -> str:
        """What changes when a file's content does."""
        return self.etags.get(name, f'"{name}-1"')


@contextmanager
def serving(server: FaultyServer) -> Iterator[FaultyServer]:
    """Serve on a free port of loopback until the block ends."""
    handler = type("Handler", (_Handler,), {"served": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    served: ClassVar[FaultyServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, as inherited
        """Nothing is logged."""

    def handle(self) -> None:
        """As inherited; a client that hangs up is no error."""
        with suppress(ConnectionError, BrokenPipeError):
            super().handle()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = self.path.partition("?")[0].lstrip("/")
        request = f"{self.command} {self.path} {self.headers.get('Range', '')}".strip()
        self.served.requests.append(request)
        self.served.passwords.append(self.headers.get("Authorization"))
        fault = self.served.faults.draw(request)
        content = self.served.files.get(name)
        if fault == "reset":
            self._reset()
        elif fault == "stall":
            time.sleep(STALL_SECONDS)
            self.close_connection = True
        elif fault in STATUSES:
            self._refuse(STATUSES[fault])
        elif name in self.served.redirects:
            self._refuse(302, location=self.served.redirects[name])
        elif content is None:
            self._refuse(404)
        else:
            self._send(name, content, fault, body=body)

    def _send(self, name: str, content: bytes, fault: str | None, *, body: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.served.ranges else None
        if asked is None:
            part, self_range = content, None
            self.send_response(200)
        else:
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            if first >= len(content):
                self._refuse(416)
                return
            at = max(0, first - 1000 if first else 777) if fault == "wrong range" else first
            part, self_range = content[at : at + last - first + 1], f"bytes {at}-{at + last - first}/{len(content)}"
            self.send_response(206)
        self.send_header("ETag", self.served.etag(name))
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        if self.served.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if self_range:
            self.send_header("Content-Range", self_range)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if not body:
            return
        if fault == "short":
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        elif fault == "flip" and part:
            flipped = bytearray(part)
            flipped[len(part) // 3] ^= 4
            self.wfile.write(flipped)
        else:
            self.wfile.write(part)

    def _refuse(self, status: int, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reset(self) -> None:
        """Hang up hard: the client sees "connection reset by peer"."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
