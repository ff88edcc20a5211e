"""Told beside the document over open sockets of two real servers: to our own clients on both, never to stock
clients."""

import asyncio
import time
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
from tests.party.test_restraints import update
from tests.servers import LiveServer, bearer

PEOPLE = {"kind": "people"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, valkey: Valkey) -> Iterator[list[LiveServer]]:
    """Two processes on one database and one Redis."""
    folder: Path = tmp_path_factory.mktemp("beside") / "data"
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


async def count_told(client: Any, quiet_s: float) -> int:
    """How many messages come before there are none for so long."""
    count = 0
    while True:
        try:
            async with asyncio.timeout(quiet_s):
                await told(client)
        except TimeoutError:
            return count
        count += 1


async def enter(stack: AsyncExitStack, server: LiveServer, room_id: str, token: str, *, is_ours: bool) -> Any:
    """A client that is in the room."""
    if is_ours:
        way: Any = websockets.connect(f"{server.ws_url}/{room_id}", subprotocols=["kanvas", token])  # type: ignore[list-item]
    else:
        way = websockets.connect(f"{server.ws_url}/{room_id}?token={token}")
    return await synced(await stack.enter_async_context(way))


async def test_people_and_links_are_told_on_both_nodes_once_a_second(pair: list[LiveServer]) -> None:
    """E11: a hint for many changes; stock clients hear nothing."""
    one, _ = pair
    token = one.guest()
    room_id = one.room(token)
    path = f"{one.url}/api/v1/rooms/{room_id}"
    async with AsyncExitStack() as stack, httpx2.AsyncClient(headers=bearer(token), timeout=30) as http:
        ours = [await enter(stack, server, room_id, token, is_ours=True) for server in pair]
        stock = await enter(stack, one, room_id, token, is_ours=False)
        assert (await http.patch(path, json={"title": "Plan"})).status_code == 200
        for client in ours:
            assert await told(client) == PEOPLE
        begin = time.monotonic()
        for number in range(6):
            made = await http.post(f"{path}/links", json={"role": "viewer", "label": str(number)})
            assert made.status_code == 201
        took_s = time.monotonic() - begin
        for client in ours:
            assert await told(client) == PEOPLE
            # one for each second in which something was changed, however long a loaded machine takes
            assert await count_told(client, 1.5) < max(5, took_s + 3)
        await stock.send(wire.encode_step_1(b"\x00"))
        async with asyncio.timeout(30):
            while (message := bytes(await stock.recv(decode=False)))[:2] != b"\x00\x01":
                assert message[0] != BESIDE


async def test_who_draws_and_may_not_is_in_the_log_of_the_room(pair: list[LiveServer]) -> None:
    """Y8: once for each client and role, however much it sends; looking is no attempt."""
    one, _ = pair
    owner = one.guest()
    room_id = one.room(owner, schema="open")
    path = f"{one.url}/api/v1/rooms/{room_id}"
    async with AsyncExitStack() as stack, httpx2.AsyncClient(headers=bearer(owner), timeout=30) as http:
        assert (await http.patch(path, json={"default_role": "viewer"})).status_code == 200
        for name, is_ours in (("Ben", True), ("Cy", False)):
            client = await enter(stack, one, room_id, one.guest(name), is_ours=is_ours)
            for number in range(5):
                await client.send(wire.encode_update(update(f"{name}{number}")))
        await enter(stack, one, room_id, one.guest("Dan"), is_ours=True)
        async with asyncio.timeout(30):
            while True:
                answer = await http.get(f"{path}/audit", params={"action": "document.edit"})
                found = {one["actor"]["name"]: one for one in answer.json()["items"]}
                if len(found) == 2:
                    break
                await asyncio.sleep(0.1)
        assert found.keys() == {"Ben", "Cy"}
        for entry in found.values():
            assert (entry["result"], entry["details"]) == ("refused", {"code": "forbidden", "status": 403})
