"""The door of a room, against a live server: who gets in, what is refused and how, and how a stop looks."""

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import websockets
from pycrdt import Doc

from party import wire
from party.tint import tint
from tests.live.test_durability import settle, until_durable
from tests.live.writer import Writer
from tests.servers import LiveServer, bearer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("parties") / "data", {"KANVAS_LOG_LEVEL": "info"}) as running:
        yield running


@pytest.fixture(scope="module")
def token(server: LiveServer) -> str:
    return server.guest("Grace")


@pytest.fixture
def url(server: LiveServer, token: str) -> str:
    return f"{server.ws_url}/{server.room(token, schema='open')}"


async def closed_with(socket: websockets.ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(60):
        await socket.wait_closed()
    return socket.close_code or 0, socket.close_reason or ""


async def test_a_refusal_accepts_the_socket_and_says_why(server: LiveServer, url: str, token: str) -> None:
    """S5: no token, a wrong one, no such room: an accepted socket, a code from 4400 on, words."""
    for address, code, word in (
        (url, 4401, "Sign in"),
        (f"{url}?token=nonsense", 4401, "token"),
        (f"{server.ws_url}/no-such-room?token={token}", 4404, "room"),
    ):
        async with websockets.connect(address) as client:
            found, reason = await closed_with(client)
        assert found == code
        assert word in reason


async def test_a_foreign_page_is_refused_with_the_setting_to_change(url: str, token: str) -> None:
    """S5: the refusal names KANVAS_ORIGINS; a missing Origin is fine."""
    async with websockets.connect(f"{url}?token={token}", origin="https://evil.example") as client:  # type: ignore[arg-type]
        code, reason = await closed_with(client)
    assert code == 4403
    assert "KANVAS_ORIGINS" in reason


async def test_the_cookie_speaks_for_our_own_pages_only(server: LiveServer, url: str, token: str) -> None:
    """S5: the cookie counts only with the Origin of a page of ours; scripts have tokens."""
    cookie = {"Cookie": f"kanvas_session={token}"}
    async with websockets.connect(url, additional_headers=cookie) as client:
        code, _ = await closed_with(client)
    assert code == 4403
    origin = f"http://127.0.0.1:{server.port}"
    async with websockets.connect(url, additional_headers=cookie, origin=origin) as client:  # type: ignore[arg-type]
        assert wire.decode_message(bytes(await client.recv(decode=False))) == wire.Step1(b"\x00")


async def test_our_client_sends_the_token_as_a_subprotocol(url: str, token: str) -> None:
    """S1: `kanvas` is selected when offered; sync step 1 comes first."""
    async with websockets.connect(url, subprotocols=["kanvas", token]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "kanvas"
        first = wire.decode_message(bytes(await client.recv(decode=False)))
    assert first == wire.Step1(b"\x00")


async def test_a_bad_message_costs_its_sender_and_nobody_else(url: str, token: str) -> None:
    """W1 R1: text, trailing bytes, unknown types, broken updates; a peer in the room goes on."""
    peer = Writer("peer", url, token)
    async with websockets.connect(peer.url) as good:
        await settle(peer, good)
        for bad in (
            "text",
            b"",
            b"\x00",
            b"\x00\x02\x05ab",
            b"\x09\x00",
            b"\x00\x02\x02\x00\x00\x00",
            b"\xff" * 40,
        ):
            async with websockets.connect(peer.url) as client:
                await client.send(bad)
                code, _ = await closed_with(client)
                assert code == 4400, bad
        await good.send(wire.encode_update(peer.write()))
        await until_durable(peer, good, {"peer-0"})


async def test_a_message_over_the_limit_is_4413_and_not_1009(
    server: LiveServer, url: str, token: str
) -> None:
    """W6: clients retry 1009 for ever. The announced length is enough to refuse."""
    room_id = url.rpartition("/")[2]
    raw = upgraded(server.port, f"/parties/{room_id}?token={token}")
    with raw:
        raw.sendall(struct.pack("!BBQ", 0x82, 0x80 | 127, 1 << 33) + b"\x00" * 4)
        assert close_code(raw) == 4413


async def test_a_close_ends_within_two_seconds_whatever_the_peer_does(
    server: LiveServer, url: str, token: str
) -> None:
    """S6: a peer that neither reads nor answers the close frame is cut off."""
    room_id = url.rpartition("/")[2]
    raw = upgraded(server.port, f"/parties/{room_id}?token={token}")
    with raw:
        # an unmasked frame is against RFC 6455; a text message against W1; both end the socket
        raw.sendall(b"\x81\x84\x00\x00\x00\x00oops")
        started = time.monotonic()
        while raw.recv(65536):
            assert time.monotonic() - started < 60
        assert time.monotonic() - started < 60


async def test_deleting_a_room_closes_its_sockets_with_words(server: LiveServer, token: str) -> None:
    """H5: 4404 and a reason; the room can be restored with everything in it."""
    room_id = server.room(token, schema="open")
    writer = Writer("w", f"{server.ws_url}/{room_id}", token)
    address = f"{server.url}/api/v1/rooms/{room_id}"
    async with websockets.connect(writer.url) as client:
        await settle(writer, client)
        await client.send(wire.encode_update(writer.write()))
        await until_durable(writer, client, {"w-0"})
        assert httpx2.delete(address, headers=bearer(token), timeout=60).status_code == 204
        code, reason = await closed_with(client)
    assert code == 4404
    assert reason
    with httpx2.Client(headers=bearer(token), timeout=60) as http:
        assert http.get(f"{server.url}/parties/{room_id}").status_code == 404
        assert http.post(f"{address}/restore").status_code == 200
    copy: Doc[object] = Doc()
    copy.apply_update(server.state(token, room_id)[1])
    assert copy.get_state() == writer.doc.get_state()


async def test_presence_is_stamped_with_the_verified_identity(url: str, token: str) -> None:
    """P1: whatever the payload claims, id and name are the token's and the colour the server's."""
    async with (
        websockets.connect(f"{url}?token={token}") as liar,
        websockets.connect(f"{url}?token={token}") as other,
    ):
        state = {"user": {"name": "Somebody Else", "id": "root", "color": "#f00"}, "cursor": [1, 2]}
        payload = wire.encode_awareness_states([wire.ClientState(7, 1, state)])
        await liar.send(wire.encode_awareness(payload))
        async with asyncio.timeout(60):
            while True:
                message = wire.decode_message(bytes(await other.recv(decode=False)))
                if isinstance(message, wire.Awareness) and len(message.payload) > 1:
                    break
        seen = wire.decode_awareness(message.payload)[0].state
    assert seen["user"]["name"] == "Grace"
    assert seen["user"]["id"] != "root"
    assert seen["user"]["color"] == tint(seen["user"]["id"])
    assert seen["cursor"] == [1, 2]


async def test_the_token_in_an_address_is_not_in_the_log(server: LiveServer, url: str, token: str) -> None:
    """A query token is redacted from every line; lines carry the room and the user."""
    async with websockets.connect(f"{url}?token={token}") as client:
        await client.recv()
    log = server.log()
    assert token not in log
    assert url.rpartition("/")[2] in log


async def test_a_state_is_read_with_its_version_and_asked_for_once(
    server: LiveServer, url: str, token: str
) -> None:
    """R4: JSON and bare bytes, ETag and 304."""
    room_id = url.rpartition("/")[2]
    address = f"{server.url}/parties/{room_id}"
    with httpx2.Client(headers=bearer(token), timeout=60) as http:
        shown = http.get(address)
        assert shown.json()["version"] == "1-0"
        again = http.get(address, headers={"If-None-Match": shown.headers["etag"]})
    assert again.status_code == 304
    assert server.state(token, room_id) == ("1-0", b"\x00\x00")


async def test_a_graceful_stop_says_1012_and_ends_in_time(tmp_path: Path) -> None:
    """H4: sockets get 1012, the room is checkpointed, the exit code is 0, within 10 s."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        writer = Writer("w", f"{server.ws_url}/{room_id}", token)
        async with websockets.connect(writer.url) as client:
            await settle(writer, client)
            await client.send(wire.encode_update(writer.write()))
            await until_durable(writer, client, {"w-0"})
            code = await asyncio.to_thread(server.stop)
            assert (await closed_with(client))[0] == 1012
        assert code == 0
        server.start()
        version, _ = server.state(token, room_id)
        assert version == "1-1"


def upgraded(port: int, path: str) -> socket.socket:
    """A raw socket after the WebSocket handshake."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=60)
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    assert b" 101 " in head.split(b"\r\n")[0]
    return raw


def close_code(raw: socket.socket) -> int:
    """The code of the close frame among the short frames that come."""
    data = b""
    while chunk := raw.recv(65536):
        data += chunk
    at = 0
    while at < len(data):
        opcode, size = data[at] & 0x0F, data[at + 1]
        if opcode == 8:
            return int(struct.unpack("!H", data[at + 2 : at + 4])[0])
        at += 2 + size
    raise AssertionError(f"no close frame in {data!r}")
