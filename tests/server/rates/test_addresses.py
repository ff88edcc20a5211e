"""Where a request comes from, and whom we believe about it."""

import ipaddress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from server.rates.addresses import Origin, TrustedProxies, find_origin, read_address, site_of
from tests.server.edge import open_edge

PROXIES = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1", "10.0.0.0/8", "2001:db8:1::/48")))
FORWARDED, PLAIN, PROTO = "forwarded", "x-forwarded-for", "x-forwarded-proto"


def origin(peer: str, *given: tuple[str, str]) -> Origin:
    return find_origin(peer, Headers(raw=[(a.encode(), b.encode()) for a, b in given]), PROXIES)


@pytest.mark.parametrize(
    ("peer", "given", "host", "scheme"),
    [
        # nobody of ours: nothing of what it says
        ("192.0.2.1", [(PLAIN, "198.51.100.9"), (PROTO, "https")], "192.0.2.1", None),
        ("192.0.2.1", [(FORWARDED, "for=198.51.100.9;proto=https")], "192.0.2.1", None),
        ("127.0.0.1", [], "127.0.0.1", None),
        ("127.0.0.1", [(PLAIN, "198.51.100.9")], "198.51.100.9", None),
        ("::1", [(PLAIN, "198.51.100.9"), (PROTO, "https")], "198.51.100.9", "https"),
        ("::ffff:127.0.0.1", [(PLAIN, "198.51.100.9")], "198.51.100.9", None),
        # what the client wrote stands left of what the proxy wrote
        ("127.0.0.1", [(PLAIN, "203.0.113.5, 198.51.100.9")], "198.51.100.9", None),
        ("127.0.0.1", [(PLAIN, "203.0.113.5"), (PLAIN, "198.51.100.9")], "198.51.100.9", None),
        ("127.0.0.1", [(PLAIN, "127.0.0.1, 198.51.100.9")], "198.51.100.9", None),
        # several of ours in a row
        ("127.0.0.1", [(PLAIN, "203.0.113.5, 198.51.100.9, 10.1.1.1")], "198.51.100.9", None),
        ("127.0.0.1", [(PLAIN, "198.51.100.9, 10.1.1.1"), (PROTO, "https, http")], "198.51.100.9", "https"),
        ("127.0.0.1", [(PLAIN, "198.51.100.9"), (PROTO, "https, http")], "198.51.100.9", "http"),
        ("127.0.0.1", [(PLAIN, "10.0.0.2, 10.1.1.1")], "10.0.0.2", None),
        # rubbish: the last hop that is known
        ("127.0.0.1", [(PLAIN, "198.51.100.9, unknown")], "127.0.0.1", None),
        ("127.0.0.1", [(PLAIN, "198.51.100.9, ' or 1=1, 10.1.1.1")], "10.1.1.1", None),
        ("127.0.0.1", [(PLAIN, ",, ,")], "127.0.0.1", None),
        ("127.0.0.1", [(PLAIN, "999.1.1.1")], "127.0.0.1", None),
        ("127.0.0.1", [(PROTO, "javascript")], "127.0.0.1", None),
        ("127.0.0.1", [(PROTO, "HTTPS")], "127.0.0.1", "https"),
        ("127.0.0.1", [(PLAIN, "198.51.100.9:4711")], "198.51.100.9", None),
        ("127.0.0.1", [(PLAIN, "[2001:db8::9]:4711")], "2001:db8::9", None),
        ("127.0.0.1", [(PLAIN, "2001:db8::9")], "2001:db8::9", None),
        ("127.0.0.1", [(PLAIN, "::ffff:198.51.100.9")], "198.51.100.9", None),
        ("127.0.0.1", [(PLAIN, "fe80::1%eth0")], "fe80::1", None),
        ("2001:db8:1::7", [(PLAIN, "2001:db8:2::7")], "2001:db8:2::7", None),
        # RFC 7239
        ("127.0.0.1", [(FORWARDED, "for=192.0.2.60;proto=https;by=203.0.113.43")], "192.0.2.60", "https"),
        ("127.0.0.1", [(FORWARDED, 'For="[2001:db8:cafe::17]:4711"')], "2001:db8:cafe::17", None),
        ("127.0.0.1", [(FORWARDED, "for=203.0.113.5, for=192.0.2.60, for=10.2.2.2")], "192.0.2.60", None),
        ("127.0.0.1", [(FORWARDED, "for=192.0.2.60"), (FORWARDED, "for=10.2.2.2")], "192.0.2.60", None),
        ("127.0.0.1", [(FORWARDED, "for=_hidden;proto=https")], "127.0.0.1", "https"),
        ("127.0.0.1", [(FORWARDED, "for=unknown")], "127.0.0.1", None),
        ("127.0.0.1", [(FORWARDED, "proto=https")], "127.0.0.1", "https"),
        ("127.0.0.1", [(FORWARDED, ";;;=,,")], "127.0.0.1", None),
        # both, of which the proxy wrote one and the client perhaps the other
        ("127.0.0.1", [(FORWARDED, "for=192.0.2.60"), (PLAIN, "192.0.2.60")], "192.0.2.60", None),
        ("127.0.0.1", [(FORWARDED, "for=192.0.2.60"), (PLAIN, "203.0.113.5")], "127.0.0.1", None),
        # a socket without an address
        ("", [(PLAIN, "198.51.100.9")], "", None),
    ],
)
def test_the_client_is_the_first_hop_that_nobody_of_ours_is(
    peer: str, given: list[tuple[str, str]], host: str, scheme: str | None
) -> None:
    """L9"""
    assert origin(peer, *given) == Origin(host, scheme)


@given(
    st.text(st.characters(codec="latin-1"), max_size=80), st.text(st.characters(codec="latin-1"), max_size=80)
)
def test_no_header_breaks_it_and_none_names_a_client_that_is_no_address(plain: str, tagged: str) -> None:
    """L9"""
    raw = [(PLAIN.encode(), plain.encode("latin-1")), (FORWARDED.encode(), tagged.encode("latin-1"))]
    found = find_origin("127.0.0.1", Headers(raw=raw), PROXIES)
    assert read_address(found.host) is not None


def test_a_long_list_is_read_from_its_end() -> None:
    """L9"""
    many = ", ".join(["10.0.0.1"] * 5000)
    assert origin("127.0.0.1", (PLAIN, f"{many}, 198.51.100.9")).host == "198.51.100.9"
    assert origin("127.0.0.1", (PLAIN, f"198.51.100.9, {many}")).host == "10.0.0.1"


def test_an_ipv6_site_is_one_address() -> None:
    """L3: who has a /64 has 2^64 addresses."""
    assert site_of("2001:db8:1:2:3::4") == site_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert site_of("2001:db8:1:3::1") != site_of("2001:db8:1:2::1")
    assert site_of("::ffff:192.0.2.1") == site_of("192.0.2.1") == "192.0.2.1"
    assert site_of("") == site_of("testclient") == "unknown"


async def test_the_application_sees_the_client_and_its_scheme(tmp_path: Path, empty_database: Path) -> None:
    """L9: the cookie is made secure because the trusted proxy says https."""
    told = {"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https"}

    async def cookie(http: httpx2.AsyncClient) -> str:
        answer = await http.post("/api/v1/auth/guest", json={"name": "Ada"}, headers=told)
        assert answer.status_code == 201
        http.cookies.clear()
        return answer.headers["set-cookie"]

    async with open_edge(tmp_path / "a", empty_database, rate_limits="auth=1/60") as edge:
        assert "secure" in (await cookie(edge.http)).lower()
        # counted by the client's address, so another one is let in
        told["X-Forwarded-For"] = "198.51.100.10"
        await cookie(edge.http)
        again = await edge.http.post("/api/v1/auth/guest", json={"name": "Ada"}, headers=told)
        assert again.status_code == 429
    async with open_edge(tmp_path / "b", empty_database, trusted_proxies="none") as edge:
        assert "secure" not in (await cookie(edge.http)).lower()


async def test_a_proxy_that_nobody_named_is_told_of_once() -> None:
    """L9: else everybody is one address, and nobody knows why."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Answers nothing."""

    async def ask(peer: str, proxies: TrustedProxies, *headers: tuple[bytes, bytes]) -> int:
        scope = {"type": "http", "client": (peer, 1), "headers": list(headers), "scheme": "http"}
        with capture_logs() as lines:
            await proxies(scope, _nothing, _nothing)
        return len(lines)

    header = (PLAIN.encode(), b"198.51.100.9")
    proxies = TrustedProxies(app, PROXIES)
    assert await ask("10.0.0.1", proxies, header) == 0
    assert await ask("172.18.0.6", proxies) == 0
    # of the internet: a client that lies
    assert await ask("8.8.8.8", proxies, header) == 0
    assert [await ask("172.18.0.6", proxies, header) for _ in range(2)] == [1, 0]
    assert await ask("172.18.0.6", TrustedProxies(app, ()), header) == 0


async def _nothing(*_: Any) -> Any:
    """Neither sends nor receives."""
