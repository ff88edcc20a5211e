"""The limits at the sockets of a real server."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator

import httpx2
import pytest
import websockets

from party import wire
from tests.servers import LiveServer

LIMITS = "connect=40/60,auth.failed=30/60,join=12/60,messages=100/1,bytes=100000/1,auth=200/60"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("rates") / "data", {"KANVAS_RATE_LIMITS": LIMITS}) as running:
        yield running


def from_site(address: str) -> dict[str, str]:
    """As the proxy in front of the server tells it: each test comes from an address of its own."""
    return {"X-Forwarded-For": address}


async def closes(server: LiveServer, room: str, token: str, address: str) -> tuple[int, str]:
    """Connect and wait for the refusal; 0 when the room speaks, which it does to whoever is in."""
    url = f"{server.ws_url}/{room}?token={token}"
    async with websockets.connect(url, additional_headers=from_site(address), max_size=None) as socket:
        try:
            await asyncio.wait_for(socket.recv(), 60)
        except websockets.ConnectionClosed:
            return socket.close_code or 0, socket.close_reason or ""
        return 0, ""


async def test_who_connects_too_often_is_to_come_back_later(server: LiveServer) -> None:
    """L5, L10: 1013 with words, which clients retry with back-off; others at another address get in."""
    ada, bob = server.guest(), server.guest("Bob")
    room = server.room(ada)
    found = [await closes(server, room, "wrong", "198.51.100.1") for _ in range(45)]
    assert [code for code, _ in found] == [4401] * 30 + [1013] * 15
    assert all("wrong tokens" in reason or "kind auth.failed" in reason for _, reason in found[30:40])
    assert all(reason.startswith("Too many requests of the kind connect: 40 in") for _, reason in found[40:])
    # also with a right token, which is not looked at
    assert (await closes(server, room, ada, "198.51.100.1"))[0] == 1013
    # an IPv6 site is one address
    found = [await closes(server, room, "wrong", f"2001:db8::{at:x}") for at in range(42)]
    assert [code for code, _ in found[-2:]] == [1013] * 2
    joins = await asyncio.gather(*(closes(server, room, ada, f"198.51.100.{at}") for at in range(2, 20)))
    assert sorted(code for code, _ in joins) == [0] * 12 + [1013] * 6
    assert any("kind join" in reason for _, reason in joins)
    assert (await closes(server, room, bob, "198.51.100.2"))[0] == 0


def number(server: LiveServer, name: str) -> float:
    """One of the server's metrics, by a pattern of its name and labels."""
    told = httpx2.get(f"{server.url}/metrics", timeout=60).text
    found = re.search(rf"^{name} (\S+)$", told, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def seconds_used(server: LiveServer) -> float:
    """Of a processor, by the process that serves: others on this machine take nothing of it."""
    return number(server, "process_cpu_seconds_total")


async def test_a_refused_attempt_is_cheap(server: LiveServer) -> None:
    """L5: it costs neither a look at the token nor a place."""
    ada = server.guest()
    room = server.room(ada)
    for _ in range(40):
        await closes(server, room, "wrong", "203.0.113.1")
    begin = seconds_used(server)
    for _ in range(50):
        assert (await closes(server, room, ada, "203.0.113.1"))[0] == 1013
    assert seconds_used(server) - begin < 2


async def test_a_socket_that_floods_is_told_slowed_and_loses_nothing(server: LiveServer) -> None:
    """L6, M1: the notice first; what it sent arrives at the rate it may; each pause is counted."""
    token = server.guest()
    room = server.room(token)
    url = f"{server.ws_url}/{room}?token={token}"
    headers = from_site("203.0.113.7")
    async with websockets.connect(url, additional_headers=headers, max_size=None) as socket:
        ping = wire.encode_step_1(b"\x00")
        begin = time.monotonic()
        for _ in range(330):
            await socket.send(ping)
        # the answer to a ping of the protocol comes behind everything that was sent before it
        await asyncio.wait_for(await socket.ping(), 60)
        took_s = time.monotonic() - begin
        assert took_s > 1.0
        heard = []
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(await asyncio.wait_for(socket.recv(), 0.5))
    notices = [one for one in heard if isinstance(one, bytes) and one[:2] == b"\x02\x00"]
    assert len(notices) == 1
    assert b"100 messages in 1 s or 100000 bytes in 1 s" in notices[0]
    assert 1 <= number(server, r'kanvas_rate_denials_total\{action="messages"\}') <= 30
