"""server.transport and server.line on real sockets, with peers that behave badly; on both event loops."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets

from db.migrate import upgrade
from party import wire
from party.errors import RoomNotFound, TooManyConnections
from server import frames
from server.app import create_app
from server.bounds import Bounds
from server.services import open_services
from server.settings import Settings
from server.transport import KanvasHttp, KanvasProtocol
from tests.live.door import Door, frame, on_each_loop, open_door
from tests.servers import bearer

BOUNDS = Bounds(close_s=0.1)


# -- before the handshake -----------------------------------------------------------------------


@on_each_loop
async def test_a_request_that_does_not_come_is_not_waited_for() -> None:
    """S9: nothing at all, half a request line, headers without an end, line after line for ever."""
    async with open_door(headers_s=0.1) as door:
        for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"):
            peer = await door.connect()
            peer.writer.write(start)
            assert await peer.end() == b""
        dribbler = await door.connect()
        dribbler.writer.write(b"GET / HTTP/1.1\r\n")
        while not dribbler.is_gone:
            dribbler.writer.write(b"X: y\r\n")
            await asyncio.sleep(0.01)


@on_each_loop
async def test_the_deadline_is_for_each_request_of_a_connection() -> None:
    """S9: a connection that had one answer dribbles no second request, not even an empty line."""
    async with open_door(headers_s=0.1) as door:
        for more in (b"GET", b"\r\n"):
            peer = await door.connect()
            peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await peer.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await peer.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            peer.writer.write(more)
            assert await peer.end() == b""


@on_each_loop
async def test_an_answer_and_a_websocket_take_as_long_as_they_take() -> None:
    """S9: the deadline is for the headers alone."""

    async def slow(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(0.3)
        await door.app(scope, receive, send)

    async with (
        open_door(BOUNDS, headers_s=0.1) as door,
        open_door(BOUNDS, headers_s=0.1, app=slow) as behind,
    ):
        door_peer = await door.enter()
        peer = await behind.connect()
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await peer.end()).endswith(b"ok")
        door_peer.send(frames.BINARY, b"still here")
        assert await door_peer.receive() == (frames.BINARY, b"STILL HERE")


UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def never(scope: object, receive: Callable[[], Awaitable[object]], send: object) -> None:
    """An application that does not answer while its client is there."""
    while await receive() != {"type": "http.disconnect"}:
        pass


@on_each_loop
async def test_headers_have_a_largest_size() -> None:
    """S9: 431 with words; one header without an end, many of them, and at the end of a body."""
    async with open_door() as door:
        for flood in (b"X: " + b"a" * 300_000, b"X: y\r\n" * 60_000, b"X: " + b"a" * 70_000 + b"\r\n\r\n"):
            peer = await door.connect()
            peer.writer.write(GET + b"\r\n")
            await peer.reader.readuntil(b"ok")
            peer.writer.write(GET + flood)
            assert (await peer.reader.read(12)) == b"HTTP/1.1 431"
        chunked = await door.connect()
        chunked.writer.write(GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        await chunked.reader.readuntil(b"ok")
        chunked.writer.write(b"a" * 300_000)
        assert (await chunked.reader.read(12)) == b"HTTP/1.1 431"
        large = await door.connect()
        large.writer.write(
            GET + b"Content-Length: 1000000\r\nX: " + b"a" * 60_000 + b"\r\n\r\n" + bytes(1_000_000)
        )
        assert (await large.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert await large.end() == b""


@on_each_loop
async def test_few_requests_wait_on_one_connection() -> None:
    """S9: eight are answered in their order; a flood of them, or of the next one's headers, ends it."""
    async with open_door() as door:
        peer = await door.connect()
        peer.writer.write((GET + b"\r\n") * 9)
        for _ in range(9):
            assert (await peer.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
    async with open_door(app=never) as door:
        for flood in ((GET + b"\r\n") * 10, GET + b"X: " + b"a" * 300_000):
            peer = await door.connect()
            peer.writer.write(GET + b"\r\n")
            await asyncio.sleep(0.05)
            peer.writer.write(flood)
            assert await peer.end() == b""


@on_each_loop
async def test_a_handshake_that_the_library_refuses_is_answered() -> None:
    """S9: too large or not one at all; refused in words, not left open."""
    async with open_door() as door:
        for status, more in (
            (b"431", b"Cookie: a=" + b"x" * 9_000 + b"\r\n"),
            (b"431", b"".join(b"X-%d: 1\r\n" % n for n in range(150))),
            (b"400", b"Content-Length: 5\r\n"),
            (b"400", b"Transfer-Encoding: chunked\r\n"),
        ):
            peer = await door.connect()
            peer.writer.write(GET + UPGRADE + more + b"\r\n")
            answer = await peer.end()
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"urn:kanvas:problem:" in answer
        await door.is_empty()


@on_each_loop
async def test_a_handshake_that_nobody_ends_is_ended() -> None:
    """S9: a net below the application's deadlines."""

    async def hang(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KanvasProtocol, "handshake_s", 0.1)
        async with open_door(app=hang) as door:
            peer = await door.connect()
            peer.writer.write(GET + UPGRADE + b"\r\n")
            assert await peer.end() == b""
        async with open_door() as door:
            guest = await door.enter()
            await asyncio.sleep(0.2)
            guest.send(frames.BINARY, b"still here")
            assert await guest.receive() == (frames.BINARY, b"STILL HERE")


@on_each_loop
async def test_a_handshake_behind_an_answer_under_way_leaves_nothing() -> None:
    """S8: both end, and the application hears of it."""
    async with open_door(app=never) as door:
        peer = await door.connect()
        peer.writer.write(GET + b"\r\n")
        while not door.state.tasks:
            await asyncio.sleep(0.005)
        peer.writer.write(GET + UPGRADE + b"\r\n")
        assert await peer.end() == b""
        async with asyncio.timeout(5):
            while door.state.tasks:
                await asyncio.sleep(0.005)


@on_each_loop
async def test_a_slow_upload_reads_why_it_was_refused() -> None:
    """S9: the deadline of headers is not the rest of its body's; but that is not waited for without end."""
    async with open_door(headers_s=0.1) as door:
        peer = await door.connect()
        peer.writer.write(GET + b"Content-Length: 50\r\n\r\n")
        assert (await peer.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for _ in range(50):
            await asyncio.sleep(0.01)
            assert not peer.is_gone
            peer.writer.write(b"x")
        assert await peer.end() == b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KanvasHttp, "refused_body_s", 0.1)
        async with open_door() as door:
            peer = await door.connect()
            peer.writer.write(GET + b"Content-Length: 50\r\n\r\n")
            assert (await peer.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            peer.writer.write(b"x")
            assert await peer.end() == b""


@on_each_loop
async def test_an_answer_before_the_end_of_the_body_is_the_last_one() -> None:
    """S9: a balancer that leaves the rest out puts another request in its place; that one is not answered."""
    reading = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/read":
            reading.set()
            while (await receive())["more_body"]:
                pass
        await door.app(scope, receive, send)

    async def late(path: bytes) -> bytes:
        peer.writer.write(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n" % path)
        if path == b"/read":
            await reading.wait()
            reading.clear()
            peer.writer.write(b"x" * 17)
        return await peer.reader.readuntil(b"ok")

    async with open_door(app=app) as door:
        peer = await door.connect()
        # one that was read to its end is followed by others
        for path in (b"/read", b"/read", b"/refused"):
            assert (b"connection: close" in await late(path)) is (path == b"/refused")
        peer.writer.write(GET + b"\r\n")
        assert await peer.end() == b""
        assert door.state.total_requests == 3


@on_each_loop
async def test_a_connection_ends_behind_the_request_not_only_the_answer() -> None:
    """S9: else the kernel resets it under who still sends, and the answer is lost. Nothing follows on it."""
    async with open_door() as door:
        peer = await door.connect()
        peer.writer.write(GET + b"Connection: close\r\nContent-Length: 50\r\n\r\n" + b"x" * 25)
        assert b"connection: close" in await peer.reader.readuntil(b"ok")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 0.1)
        peer.writer.write(b"x" * 25 + GET + b"\r\n")
        assert await peer.end() == b""
        assert door.state.total_requests == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KanvasHttp, "refused_body_s", 0.1)
        async with open_door() as door:
            peer = await door.connect()
            peer.writer.write(GET + b"Connection: close\r\nContent-Length: 50\r\n\r\n")
            assert b"connection: close" in await peer.reader.readuntil(b"ok")
            peer.writer.write(b"x")
            assert await peer.end() == b""


# -- after it -----------------------------------------------------------------------------------


@on_each_loop
async def test_a_line_goes_on_when_the_application_has_returned() -> None:
    """W7: messages in one piece, in fragments, with a ping between them."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        await asyncio.sleep(0.05)
        peer.send(frames.BINARY, b"one")
        assert await peer.receive() == (frames.BINARY, b"ONE")
        peer.send(frames.BINARY, b"tw", fin=False)
        peer.send(frames.PING, b"?")
        peer.send(frames.CONTINUATION, b"o")
        assert await peer.receive() == (frames.PONG, b"?")
        assert await peer.receive() == (frames.BINARY, b"TWO")
        assert len(door.state.connections) == 1
        assert not door.state.tasks


@on_each_loop
async def test_another_implementation_is_content_with_ours() -> None:
    """W7: python-websockets as the client, with its own checks."""
    async with (
        open_door() as door,
        websockets.connect(f"ws://127.0.0.1:{door.port}/", max_size=None) as client,
    ):
        for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            await client.send(b"a" * size)
            assert await client.recv() == b"A" * size
        await client.send([b"in ", b"three ", b"parts"])
        assert await client.recv() == b"IN THREE PARTS"
        await (await client.ping())
        await client.close(4000, "bye")
        assert (client.close_code, client.close_reason) == (4000, "")
        await door.guests[0].has_left.wait()


@on_each_loop
async def test_a_flood_of_pings_ends_with_a_code_that_says_stop() -> None:
    """W7: 4429, whether the answers are read or not."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        peer.writer.write(frame(frames.PING) * 50_000)
        assert await peer.close_code() == 4429


@on_each_loop
async def test_a_million_tiny_fragments_are_not_kept() -> None:
    """W8: 4400 after the 64th, whatever else comes."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        peer.send(frames.BINARY, b"", fin=False)
        peer.writer.write(frame(frames.CONTINUATION, b"x", fin=False) * 100_000)
        assert await peer.close_code() == 4400


@on_each_loop
async def test_a_message_that_stops_in_the_middle_is_ended() -> None:
    """W8: 1013; a client that comes back may have a better network."""
    async with open_door(replace(BOUNDS, rate_window_s=0.1)) as door:
        peer = await door.enter()
        peer.writer.write(frame(frames.BINARY, bytes(5_000))[:100])
        while not door.traffic.unfinished:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        door.traffic.hold_to_rate()
        assert await peer.close_code() == 1013


@on_each_loop
async def test_large_messages_share_a_budget_and_all_come_through() -> None:
    """W9: 30 documents of 2 MiB at once within 4 MiB; small messages are not held up."""
    bounds = replace(BOUNDS, inflight_bytes=4 << 20)
    message = wire.encode_step_2(bytes(2 << 20))
    async with open_door(bounds) as door:
        peers = [await door.enter() for _ in range(30)]
        most = 0
        for peer in peers:
            peer.writer.write(frame(frames.BINARY, message))
        small = await door.enter()
        small.send(frames.BINARY, b"small")
        assert await small.receive() == (frames.BINARY, b"SMALL")
        answers = [asyncio.create_task(peer.receive()) for peer in peers]
        while not all(answer.done() for answer in answers):
            most = max(most, door.traffic.budget.held_bytes)
            await asyncio.sleep(0)
        assert [len(answer.result()[1]) for answer in answers] == [len(message)] * 30
        assert most <= bounds.inflight_bytes
        assert door.traffic.budget.held_bytes == 0


# -- the end ------------------------------------------------------------------------------------


@on_each_loop
async def test_a_peer_that_never_answers_the_close_frame_is_cut_off() -> None:
    """S6: and one that never reads, with a buffer that would never drain."""
    async with open_door(BOUNDS) as door:
        polite, deaf = await door.enter(), await door.enter()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while len(door.guests) < 2:
            await asyncio.sleep(0.005)
        line = door.guests[1].line
        for _ in range(64):
            line.send(bytes(1 << 18))
        assert line.buffered_bytes > 1 << 20
        for guest in door.guests:
            guest.line.close(4404, "gone")
        assert await polite.close_code() == 4404
        await door.is_empty()
        assert all(guest.has_left.is_set() for guest in door.guests)


@on_each_loop
async def test_half_a_close_is_a_close() -> None:
    """S6: a peer that shuts its sending side and never reads the rest does not stay."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(frames.BINARY, b"x")
        while not door.guests or not door.guests[0].messages:
            await asyncio.sleep(0.005)
        for _ in range(64):
            door.guests[0].line.send(bytes(1 << 18))
        peer.writer.write_eof()
        await door.guests[0].has_left.wait()
        await door.is_empty()


@on_each_loop
async def test_a_peer_that_closes_and_does_not_read_on_is_cut_off() -> None:
    """S6: its close frame is answered behind what it never takes."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not door.guests:
            await asyncio.sleep(0.005)
        for _ in range(64):
            door.guests[0].line.send(bytes(1 << 18))
        peer.send(frames.CLOSE, struct.pack("!H", 1001))
        await door.guests[0].has_left.wait()
        await door.is_empty()


@on_each_loop
async def test_a_peer_that_vanishes_leaves_nothing() -> None:
    """S8: the transport is gone without a word."""
    async with open_door(BOUNDS) as door:
        peer = await door.enter()
        peer.writer.write(frame(frames.BINARY, bytes(5_000))[:100])
        while not door.traffic.unfinished:
            await asyncio.sleep(0.005)
        peer.writer.transport.abort()
        await door.guests[0].has_left.wait()
        await door.is_empty()
        assert (len(door.traffic), len(door.traffic.unfinished)) == (0, 0)


# -- the way into a room ------------------------------------------------------------------------


async def make_room(door: Door) -> str:
    """Where a guest's new room is, with his token."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", timeout=60) as http:
        token = (await http.post("/api/v1/auth/guest", json={"name": "Ada"})).json()["token"]
        made = await http.post("/api/v1/rooms", json={}, headers=bearer(token))
    return f"ws://127.0.0.1:{door.port}/parties/{made.json()['id']}?token={token}"


async def test_a_room_that_does_not_open_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S9 S5: a journal that hangs; 1013 and words, and the place is free again."""
    settings = Settings(data_dir=tmp_path / "data")
    (tmp_path / "data").mkdir()
    upgrade(settings.effective_database_url)
    bounds = Bounds(join_s=0.05, close_s=0.1)
    async with open_services(settings, bounds=bounds) as services:
        released = asyncio.Event()

        async def hang(room_id: str) -> None:
            await released.wait()
            raise RoomNotFound

        monkeypatch.setattr(services.journal, "load", hang)
        async with open_door(bounds, app=create_app(settings, services)) as door:
            url = await make_room(door)
            async with websockets.connect(url) as client:
                await client.wait_closed()
            assert client.close_code == 1013
            assert "in time" in (client.close_reason or "")
            await door.is_empty()
        assert services.places.taken() == 0
        released.set()


async def test_one_connection_too_many_is_refused_until_another_is_gone(tmp_path: Path) -> None:
    """S8 S5: accepted, closed with 1013 and the number; refused ones take no place."""
    settings = Settings(data_dir=tmp_path / "data", max_user_connections=2)
    (tmp_path / "data").mkdir()
    upgrade(settings.effective_database_url)
    async with open_services(settings) as services, open_door(app=create_app(settings, services)) as door:
        url = await make_room(door)
        async with websockets.connect(url) as first, websockets.connect(url) as second:
            for client in (first, second):
                assert await client.recv()
            for _ in range(3):
                async with websockets.connect(url) as third:
                    await third.wait_closed()
                assert third.close_code == TooManyConnections.close_code
                assert "2 connections" in (third.close_reason or "")
            await first.close()
            while services.places.taken() > 1:
                await asyncio.sleep(0.005)
            async with websockets.connect(url) as third:
                assert await third.recv()
        while services.places.taken():
            await asyncio.sleep(0.005)
