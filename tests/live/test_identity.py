"""Open sockets and their tokens, on real servers: warned, renewed, ended, revoked on every process."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
import websockets

from party import wire
from server.auth import Tokens
from server.identity.signal import ROLE, SIGNAL, decode_token, encode_token
from tests.live.pulse import Pulse
from tests.servers import LiveServer, bearer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("identity") / "data", {"KANVAS_SUPERVISOR": "off"}) as server:
        yield server


@pytest.fixture(scope="module")
def other(server: LiveServer) -> Iterator[LiveServer]:
    """Another process on the same database."""
    with LiveServer(server.data_dir, {"KANVAS_SUPERVISOR": "off"}) as other:
        yield other


def issue(server: LiveServer, user_id: str = "ada", ttl_s: int = 3600) -> str:
    """A token as the server makes them."""
    tokens = Tokens((server.data_dir / "secret").read_bytes().strip(), ttl_s=ttl_s)
    return tokens.issue(user_id, user_id.title()).token


def connect(server: LiveServer, room_id: str, token: str, *, is_ours: bool = True) -> Any:
    if is_ours:
        return websockets.connect(f"{server.ws_url}/{room_id}", subprotocols=["kanvas", token])  # type: ignore[list-item]
    return websockets.connect(f"{server.ws_url}/{room_id}?token={token}")


async def signal(client: Any) -> bytes:
    """The next message about the token."""
    async with asyncio.timeout(30):
        while True:
            message = bytes(await client.recv(decode=False))
            if message[0] == SIGNAL and message[1] != ROLE:
                return message


async def closed(client: Any) -> int:
    """The code it is closed with."""
    async with asyncio.timeout(30):
        try:
            while True:
                await client.recv()
        except websockets.ConnectionClosed as end:
            return end.rcvd.code if end.rcvd is not None else 1006


async def test_a_token_ends_or_is_renewed_over_the_open_socket(server: LiveServer) -> None:
    """I6: our client is told and renews; who does not renew, and stock clients, are closed with 4401."""
    room_id = server.room(issue(server))
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(connect(server, room_id, issue(server, ttl_s=s), is_ours=is_ours))
            # who is renewed has time for it on a slow machine; the others end without a word of theirs
            for s, is_ours in ((55, True), (3, True), (3, False))
        ]
        ours, silent, stock = opened
        assert (await signal(ours))[:2] == b"\x40\x00"
        await ours.send(encode_token(issue(server, "eve")))
        assert (await signal(ours))[:2] == b"\x40\x02"
        await ours.send(encode_token("nonsense"))
        assert (await signal(ours))[:2] == b"\x40\x02"
        await ours.send(encode_token(issue(server)))
        told = await signal(ours)
        assert told[:2] == b"\x40\x01"
        # it is of an hour, whatever this machine did since it was issued
        assert 3000 < wire.Reader(told[2:]).uint() <= 3600
        assert await asyncio.gather(closed(silent), closed(stock)) == [4401, 4401]
        # the renewed one takes edits and is sent frames
        await ours.send(wire.encode_step_1(b"\x00"))
        async with asyncio.timeout(60):
            while not isinstance(wire.decode_message(bytes(await ours.recv(decode=False))), wire.Step2):
                pass


async def test_a_message_of_ours_from_a_stock_client_is_unknown(server: LiveServer) -> None:
    """W1 I6."""
    message = encode_token(issue(server))
    assert decode_token(message)
    async with connect(server, server.room(issue(server)), issue(server), is_ours=False) as client:
        await client.send(message)
        assert await closed(client) == 4400


async def test_revocation_reaches_every_process_within_a_second(
    server: LiveServer, other: LiveServer
) -> None:
    """I7: of a session, of a user, by the person or an operator; others stay."""
    room_id = server.room(issue(server))
    async with AsyncExitStack() as stack:

        async def sit(at: LiveServer, token: str) -> Any:
            return await stack.enter_async_context(connect(at, room_id, token))

        first, second = issue(server), issue(server)
        mine = [await sit(server, first), await sit(other, first)]
        elsewhere = await sit(other, second)
        bea = await sit(other, issue(server, "bea"))
        async with httpx2.AsyncClient(timeout=60) as http, Pulse(server, other) as pulse:
            for path, token, ending in (
                ("/api/v1/auth/signout", first, mine),
                ("/api/v1/auth/signout-everywhere", second, [elsewhere]),
                ("/api/v1/admin/users/bea/revoke", server.admin(), [bea]),
            ):
                answer = await http.post(server.url + path, headers=bearer(token))
                assert answer.status_code == 204, answer.text
                begin = time.monotonic()
                assert await asyncio.gather(*map(closed, ending)) == [4401] * len(ending)
                assert pulse.worked_s(begin) < 1.0
                if path.endswith("signout"):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.2):
                            await closed(elsewhere)
            assert (await http.get(f"{other.url}/api/v1/me", headers=bearer(first))).status_code == 401


async def test_no_socket_slips_in_while_its_user_is_revoked(server: LiveServer) -> None:
    """I8: sixty joins around the moment; a second later none is open."""
    token = issue(server, "carol")
    room_id = server.room(issue(server))
    codes: list[int] = []

    async def join(number: int) -> None:
        await asyncio.sleep(number * 0.002)
        async with connect(server, room_id, token) as client:
            codes.append(await closed(client))

    async with asyncio.timeout(60), httpx2.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(join(number))
        await asyncio.sleep(0.06)
        path = f"{server.url}/api/v1/auth/signout-everywhere"
        assert (await http.post(path, headers=bearer(token))).status_code == 204
    assert codes == [4401] * 60


def test_a_revocation_outlives_the_process(server: LiveServer) -> None:
    """I7."""
    token = server.guest()
    out = httpx2.post(f"{server.url}/api/v1/auth/signout", headers=bearer(token), timeout=60)
    assert out.status_code == 204
    server.kill()
    server.start()
    for method, path in (("GET", "me"), ("POST", "auth/refresh")):
        answer = httpx2.request(method, f"{server.url}/api/v1/{path}", headers=bearer(token), timeout=60)
        assert answer.status_code == 401
