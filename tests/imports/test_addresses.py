"""Which addresses are public: our table against the registries and against the standard library."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.imports.addresses import carried, is_in, is_public, read_address

# IANA IPv4 and IPv6 Special-Purpose Address Registries, whole, as of 2026: block, and the column "Globally
# Reachable" (N/A is False here); below them what is no special purpose and not public either.
REGISTRY = {
    "0.0.0.0/8": False,
    "0.0.0.0/32": False,
    "10.0.0.0/8": False,
    "100.64.0.0/10": False,
    "127.0.0.0/8": False,
    "169.254.0.0/16": False,
    "172.16.0.0/12": False,
    "192.0.0.0/24": False,
    "192.0.0.0/29": False,
    "192.0.0.8/32": False,
    "192.0.0.9/32": True,
    "192.0.0.10/32": True,
    "192.0.0.170/31": False,
    "192.0.2.0/24": False,
    "192.31.196.0/24": True,
    "192.52.193.0/24": True,
    "192.88.99.0/24": False,
    "192.88.99.2/32": False,
    "192.168.0.0/16": False,
    "192.175.48.0/24": True,
    "198.18.0.0/15": False,
    "198.51.100.0/24": False,
    "203.0.113.0/24": False,
    "240.0.0.0/4": False,
    "255.255.255.255/32": False,
    "::1/128": False,
    "::/128": False,
    "64:ff9b:1::/48": False,
    "100::/64": False,
    "100:0:0:1::/64": False,
    "2001::/23": False,
    "2001::/32": False,
    "2001:1::1/128": True,
    "2001:1::2/128": True,
    "2001:1::3/128": True,
    "2001:2::/48": False,
    "2001:3::/32": True,
    "2001:4:112::/48": True,
    "2001:10::/28": False,
    "2001:20::/28": True,
    "2001:30::/28": True,
    "2001:db8::/32": False,
    "2002::/16": False,
    "2620:4f:8000::/48": True,
    "3fff::/20": False,
    "5f00::/16": False,
    "fc00::/7": False,
    "fe80::/10": False,
    "224.0.0.0/4": False,
    "ff00::/8": False,
    "fec0::/10": False,
    "::/96": False,
}
"""::ffff:0:0/96 and 64:ff9b::/96 are judged by what they carry, and have tests of their own."""

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:831::200e",
)

CLOUDS = ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254")
"""Where clouds serve their machines credentials."""


@pytest.mark.parametrize("block", REGISTRY)
def test_no_special_block_is_public_from_its_first_to_its_last(block: str) -> None:
    """Those too that are globally reachable: nothing that serves images is there."""
    network = ip_network(block)
    for address in (network[0], network[network.num_addresses // 2], network[-1]):
        assert not is_public(address)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_ones_are_public_up_to_the_borders_of_the_blocks(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", CLOUDS)
def test_the_addresses_where_clouds_keep_credentials_are_not(text: str) -> None:
    assert not is_public(ip_address(text))


@settings(max_examples=100)
@given(st.ip_addresses(v=4))
def test_nothing_is_public_that_the_standard_library_does_not_call_global(address: IPv4Address) -> None:
    assert not is_public(address) or (address.is_global and not address.is_multicast)


@settings(max_examples=100)
@given(st.ip_addresses(v=6))
def test_nor_in_ipv6(address: IPv6Address) -> None:
    assert not is_public(address) or address.is_global


@settings(max_examples=100)
@given(st.ip_addresses(v=4) | st.sampled_from([ip_network(one)[0] for one in REGISTRY if "." in one]))
def test_an_address_that_carries_ipv4_is_judged_by_it_or_refused(address: IPv4Address) -> None:
    number = int(address)
    mapped = IPv6Address((0xFFFF << 32) | number)
    nat64 = IPv6Address((0x64FF9B << 96) | number)
    assert carried(mapped) == carried(nat64) == address
    assert is_public(mapped) == is_public(nat64) == is_public(address)
    six_to_four = IPv6Address((0x2002 << 112) | (number << 80) | 1)
    teredo = IPv6Address((0x20010000 << 96) | (number << 64) | (number ^ 0xFFFFFFFF))
    compatible = IPv6Address(number)
    translated = IPv6Address((0xFFFF << 48) | number)
    isatap = IPv6Address((0xFE80 << 112) | (0x5EFE << 32) | number)
    local_nat64 = IPv6Address((0x64FF9B0001 << 80) | number)
    for form in (six_to_four, teredo, compatible, translated, isatap, local_nat64):
        assert not is_public(form)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "2606:4700::1%1", "::ffff:8.8.8.8%2"])
def test_an_address_with_a_zone_is_not_public_and_in_no_network(text: str) -> None:
    address = ip_address(text)
    assert not is_public(address)
    assert not is_in(address, [ip_network("::/0")])


@pytest.mark.parametrize(
    "text",
    ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.01", "1.2.3", "", "::g", "[::1]", "1.2.3.4 "],
)
def test_only_the_usual_form_is_an_address(text: str) -> None:
    assert read_address(text) is None


@pytest.mark.parametrize(
    ("text", "is_inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("64:ff9b::a01:203", True),
        ("11.0.0.1", False),
        ("fd00::1", True),
        ("fe00::1", False),
        ("2002:a01:203::", False),
    ],
)
def test_networks_hold_addresses_and_what_those_carry(text: str, is_inside: bool) -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert is_in(ip_address(text), networks) is is_inside
