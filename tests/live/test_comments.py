"""Comments over open sockets of two real servers: told to our own clients on both, to stock clients never."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import websockets

from party import wire
from server.beside import BESIDE
from tests.backends.valkey import Valkey
from tests.servers import LiveServer, bearer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[list[LiveServer]]:
    """Two processes on one database and one Redis."""
    folder: Path = tmp_path_factory.mktemp("comments") / "data"
    env = {"KANVAS_SUPERVISOR": "off", "KANVAS_REDIS_URL": valkey.url()}
    with LiveServer(folder, env) as one, LiveServer(folder, env) as other:
        yield [one, other]


async def synced(client: Any) -> Any:
    """Once it is in the room."""
    await client.send(wire.encode_step_1(b"\x00"))
    async with asyncio.timeout(30):
        while bytes(await client.recv(decode=False))[:2] != b"\x00\x01":
            pass
    return client


async def told(client: Any) -> dict[str, Any]:
    """The next message about something beside the document."""
    async with asyncio.timeout(30):
        while True:
            message = bytes(await client.recv(decode=False))
            if message[0] == BESIDE:
                reader = wire.Reader(message[1:])
                event: dict[str, Any] = orjson.loads(reader.buffer())
                reader.finish()
                return event


async def test_a_comment_comes_live_on_both_nodes(pair: list[LiveServer]) -> None:
    """X5 X6: the thread as it is committed; a large one is pointed at; stock clients hear nothing."""
    one, other = pair
    token = one.guest()
    room_id = one.room(token)
    path = f"{one.url}/api/v1/rooms/{room_id}/comments"
    async with AsyncExitStack() as stack, httpx2.AsyncClient(headers=bearer(token), timeout=30) as http:
        ours = [
            await synced(
                await stack.enter_async_context(
                    websockets.connect(f"{server.ws_url}/{room_id}", subprotocols=["kanvas", token])  # type: ignore[list-item]
                )
            )
            for server in pair
        ]
        stock = await synced(
            await stack.enter_async_context(websockets.connect(f"{one.ws_url}/{room_id}?token={token}"))
        )
        made = (await http.post(path, json={"x": 1, "y": 2, "body": "Look"})).json()
        shared = {name: value for name, value in made.items() if name not in ("is_unread", "read_at")}
        for client in ours:
            assert await told(client) == {"kind": "comment", "revision": 1, "thread": shared}
        # 18 replies of 4,000 characters are more than a message takes
        for _ in range(18):
            await http.post(f"{path}/{made['id']}/replies", json={"body": "b" * 4000})
        last: dict[str, Any] = {}
        for client in ours:
            while last.get("revision") != 19:
                last = await told(client)
            assert last == {"kind": "comment", "revision": 19, "thread": None}
            last = {}
        gone = await http.delete(f"{path}/{made['id']}")
        assert gone.status_code == 204
        for client in ours:
            event = await told(client)
            assert event["thread"]["is_deleted"]
            assert event["thread"]["comments"] == []
        # what was sent to it until now: nothing of ours
        await stock.send(wire.encode_step_1(b"\x00"))
        async with asyncio.timeout(30):
            while (message := bytes(await stock.recv(decode=False)))[:2] != b"\x00\x01":
                assert message[0] != BESIDE
    assert "can't be read" not in one.log() + other.log()
