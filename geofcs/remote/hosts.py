"""Which hosts the outside may name: no list and no redirect leads into the network that this machine stands in."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from geofcs.errors import InputError

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses whose last four bytes are an IPv4 address (RFC 6052)."""

PLAIN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d+)?")
"""Host and port that every program reads alike."""


def inner_address(url: str) -> str | None:
    """The address at which the host of a web address stands in a network that is not the public internet.

    Loopback, link-local (where clouds keep their machines' credentials), private and other reserved ranges. None where
    there is none; also where the name is not known here, as behind a proxy. Raises `InputError` for a host that
    programs may read differently.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    if not PLAIN.fullmatch(host) or "\\" in url:
        raise InputError(f"{host[:80]!r}: is not plainly the name of a host: write it as HOST or HOST:PORT")
    name = re.sub(r":\d+$", "", host).strip("[]")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None
    inner = [each for each in map(str, found) if not _is_public(ipaddress.ip_address(each.partition("%")[0]))]
    return min(inner, default=None)


def _is_public(ip: IP) -> bool:
    inside = _inside(ip)
    return ip.is_global and not ip.is_multicast and (inside is None or _is_public(inside))


def _inside(ip: IP) -> IP | None:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if ip in NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
