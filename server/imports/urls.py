"""The address an import is asked for: what is taken, and in which form it is used.

Owns: reading a URL and a redirect, and the ports. Does not own: where a host is (`wire.py`). Pure.

Rules: http and https; no name and password; a host is a DNS name or an IP address as everybody writes it,
so that `http://2130706433/`, `http://0x7f.1/` and `http://127.1/` are refused here and no library has to
agree with another on what they mean; what is read here is what is connected to, there is no second reading.
Ports: 80 and 443, and from 1024 up all but those that browsers refuse. Below 1024 live mail, file sharing
and remote control, and no web server a file would be linked from. This only makes us a poor tool for poking
at other people's servers; ours are kept safe by the check of addresses.

Sources: RFC 3986, RFC 9110 (4.2.4 userinfo, 15.4 redirects), WHATWG URL (ends-in-a-number checker), WHATWG
Fetch (2.9 port blocking).
"""

import re
from dataclasses import dataclass
from typing import Final

import httpx2

from server.imports.addresses import read_address
from server.problems import ImportFailed, ImportUrlInvalid

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LOWEST_FREE_PORT: Final = 1024
BLOCKED_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)
MAX_URL_CHARS: Final = 8192

LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes a browser, and inet_aton(3), read the whole host as an IPv4 address."""


@dataclass(frozen=True, slots=True)
class Place:
    """Something to get: `host` in ASCII without brackets or final dot, `target` the path with the query."""

    scheme: str
    host: str
    port: int
    target: bytes
    url: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(text: str) -> Place:
    """Raises ImportUrlInvalid."""
    if len(text) > MAX_URL_CHARS:
        raise ImportUrlInvalid("The address is too long to import from.")
    try:
        return _place(httpx2.URL(text.strip()))
    except httpx2.InvalidURL:
        raise ImportUrlInvalid from None


def follow(place: Place, location: bytes) -> Place:
    """Where a redirect leads. Raises ImportUrlInvalid, or ImportFailed for one from https to http."""
    try:
        text = location.decode("utf-8")
        if len(text) > MAX_URL_CHARS:
            raise ImportUrlInvalid("It redirects to an address that is too long.")
        next_place = _place(httpx2.URL(place.url).join(text))
    except (UnicodeDecodeError, httpx2.InvalidURL):
        raise ImportUrlInvalid("It redirects to something that is no address.") from None
    if place.scheme == "https" and next_place.scheme == "http":
        raise ImportFailed("It redirects from https to http, where anybody could change the file.")
    return next_place


def _place(url: httpx2.URL) -> Place:
    if url.scheme not in DEFAULT_PORTS or url.userinfo:
        raise ImportUrlInvalid
    port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    is_usual = port in DEFAULT_PORTS.values()
    if port > 65535 or not (is_usual or (port >= LOWEST_FREE_PORT and port not in BLOCKED_PORTS)):
        raise ImportUrlInvalid(f"Nothing is imported from port {port}; use 80, 443 or one from 1024 up.")
    host = _host(url.raw_host.decode("ascii"))
    plain = url.copy_with(fragment=None)
    return Place(url.scheme, host, port, plain.raw_path, str(plain))


def _host(raw: str) -> str:
    if ":" in raw:
        # a zone id names an interface of this machine
        if "%" in raw or read_address(raw) is None:
            raise ImportUrlInvalid
        return raw
    host = raw.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise ImportUrlInvalid
    if NUMBER.fullmatch(labels[-1]) and read_address(host) is None:
        raise ImportUrlInvalid
    return host
