"""Where a request comes from: the first hop that no proxy of ours vouches for.

Owns: reading X-Forwarded-For, X-Forwarded-Proto and Forwarded, the trusted networks, what counts as one
address. Does not own: sockets. The reading is pure; `TrustedProxies` is the middleware that applies it.
Keeps rules L3, L9. Source: RFC 7239, RFC 4291 section 2.5.5.2 (IPv4-mapped), RFC 6177 (a site is a /64 at
least).

A header is believed only as far as trusted hops wrote it: from the right, up to the first address that is
none of theirs. What a client wrote itself stands left of that and is never looked at.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger("kanvas.addresses")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS: Final = 32
IPV6_PREFIX: Final = 64
MAPPED: Final = bytes(10) + b"\xff\xff"
UNKNOWN: Final = "unknown"
FORWARDED: Final = ("forwarded", "x-forwarded-", "x-real-ip", "via")
"""How headers begin that a proxy adds."""

SCHEMES: Final = frozenset({"http", "https"})

PAIR: Final = re.compile(r'\s*([A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')


@dataclass(frozen=True, slots=True)
class Origin:
    """The client as the trusted hops tell it; `scheme` is None when they do not say."""

    host: str
    scheme: str | None = None


def find_origin(peer: str, headers: Headers, trusted: Sequence[Network]) -> Origin:
    """Who is at the other end, `peer` being who holds the connection."""
    if not _is_trusted(read_address(peer), trusted):
        return Origin(peer)
    plain = _hops(headers.getlist("x-forwarded-for"))
    tagged = [_pairs(one) for one in _hops(headers.getlist("forwarded"))]
    schemes = [one.lower() for one in _hops(headers.getlist("x-forwarded-proto"))]
    by_plain = _walk(peer, plain, trusted) if plain else None
    by_tagged = _walk(peer, [one.get("for", "") for one in tagged], trusted) if tagged else None
    if by_plain is not None and by_tagged is not None and by_plain[0] != by_tagged[0]:
        # a proxy writes one of them and hands on the other as the client sent it; which, nobody says
        return Origin(peer)
    host, steps = by_plain or by_tagged or (peer, 1)
    told = schemes or [one.get("proto", "").lower() for one in tagged]
    scheme = told[-min(max(steps, 1), len(told))] if told else None
    return Origin(host, scheme if scheme in SCHEMES else None)


def _walk(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> tuple[str, int]:
    """The client, and how many entries from the right it stands."""
    client, steps = peer, 0
    for hop in reversed(hops):
        address = read_address(hop)
        if address is None:
            # "unknown", a made-up name, rubbish: the hop that wrote it is the last one known
            return client, steps
        client, steps = str(address), steps + 1
        if not _is_trusted(address, trusted):
            break
    return client, steps


def _hops(lines: Sequence[str]) -> list[str]:
    """The last entries of a list that may be on several lines. A comma in quotes makes two wrong ones."""
    found = [one.strip() for one in ",".join(lines).rsplit(",", MAX_HOPS)]
    return [one for one in found if one]


def _pairs(hop: str) -> dict[str, str]:
    return {name.lower(): value.strip('"') for name, value in PAIR.findall(hop)}


def read_address(text: str) -> Address | None:
    """An address with or without a port and brackets; None for anything else."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


def is_forwarded(headers: Headers) -> bool:
    """Whether this came through a proxy, trusted or not, so that the connection is not the client's own."""
    return any(name.startswith(FORWARDED) for name in headers)


def is_overlooked(peer: str, headers: Headers, trusted: Sequence[Network]) -> bool:
    """Whether this looks like a proxy of the operator's own that the settings do not name."""
    if "x-forwarded-for" not in headers and "forwarded" not in headers:
        return False
    address = read_address(peer)
    return address is not None and address.is_private and not _is_trusted(address, trusted)


def _is_trusted(address: Address | None, trusted: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in trusted)


def site_of(host: str) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 one. It is asked for each attempt."""
    # ipaddress would take 40 µs for an IPv6 network
    try:
        if ":" not in host:
            return socket.inet_ntoa(socket.inet_pton(socket.AF_INET, host))
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return UNKNOWN
    if packed.startswith(MAPPED):
        return socket.inet_ntoa(packed[12:])
    site = packed[: IPV6_PREFIX // 8].ljust(16, b"\0")
    return f"{socket.inet_ntop(socket.AF_INET6, site)}/{IPV6_PREFIX}"


class TrustedProxies:
    """Puts the client's address and scheme in the place of the proxy's, for everything within."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network] = ()) -> None:
        self.app = app
        self.trusted = tuple(trusted)
        # who says "none" knows
        self._has_warned = not self.trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            peer = scope["client"][0]
            headers = Headers(scope=scope)
            origin = find_origin(peer, headers, self.trusted)
            if not self._has_warned and is_overlooked(peer, headers, self.trusted):
                self._has_warned = True
                log.warning(
                    "a proxy is not believed, so everybody behind it counts as one address; "
                    "name it in KANVAS_TRUSTED_PROXIES",
                    proxy=peer,
                )
            if origin.host != peer:
                scope["client"] = (origin.host, 0)
            if origin.scheme is not None:
                is_socket = scope["type"] == "websocket"
                scope["scheme"] = origin.scheme.replace("http", "ws") if is_socket else origin.scheme
        await self.app(scope, receive, send)
