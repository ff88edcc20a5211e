"""Which IP addresses are on the public internet.

Owns: the table, and how an address that carries another one is judged. Does not own: names (`urls.py`),
looking them up and connecting (`wire.py`). Pure.

Rules: what is not known to be public is not. The table is written out, because `ipaddress` answers
differently from one Python to the next (3.11.9, 3.12.4 and 3.13 changed `is_private` and `is_global`).
IPv4: everything but the blocks below. IPv6: only global unicast, 2000::/3, but for the blocks below. Two
forms carry an IPv4 address and are judged by it: IPv4-mapped (what an operating system makes of IPv4 on an
IPv6 socket) and NAT64 with the well-known prefix (the only way to IPv4 in a network that has IPv6 alone).
The other forms that carry one (6to4, Teredo, IPv4-compatible, ISATAP's link-local, NAT64 with a local
prefix) are refused whatever they carry: no web server lives there, and a relay would take us where the
address does not say. Some blocks are globally reachable by the registries and refused all the same: anycast
services that are no web servers (AMT, AS112, TURN, ORCHID and others below 2001::/23).

Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries, IANA IPv6 Global Unicast Address
Assignments, RFC 6890, RFC 4291 (2.5.5), RFC 6052 and RFC 8215 (NAT64), RFC 7526 (6to4), RFC 4380 (Teredo),
RFC 5771 (multicast).
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

REFUSED_V4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; 0.0.0.0 is this host
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by a carrier's customers (CGNAT)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host, seen from its machines only, though the number is public
        "169.254.0.0/16",  # link-local; clouds serve credentials there
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, given up
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
REFUSED_V6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, anycast
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the 6bone, given back
        "3fff::/20",  # documentation
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")


def read_address(text: str) -> Address | None:
    """The address that a text is in its usual form; None when it is none. No octal, hex or short forms."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def carried(address: Address) -> Address:
    """The IPv4 address by which an IPv4-mapped or NAT64 address is judged; any other address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet. An address with a zone id is not."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    judged = carried(address)
    if isinstance(judged, IPv4Address):
        return not any(judged in block for block in REFUSED_V4)
    return judged in GLOBAL_UNICAST and not any(judged in block for block in REFUSED_V6)


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address, or the IPv4 address it carries."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    both = (address, carried(address))
    return any(one in network for network in networks for one in both if one.version == network.version)
