"""Nothing shown as saved is lost: the server is killed at random points, and its database refuses commits."""

import asyncio
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from pycrdt import Doc, Map

from party import wire
from tests.live.writer import Writer
from tests.servers import LiveServer, bearer

CYCLES = int(os.environ.get("TEST_KILL_CYCLES", "5"))
SEED = int(os.environ.get("TEST_SEED", "20"))


def stored_keys(state: bytes) -> set[str]:
    doc: Doc[Any] = Doc()
    doc.apply_update(state)
    found: Map[Any] = doc.get("map", type=Map)
    return set(found.keys())


@pytest.mark.timeout(900)
async def test_nothing_that_was_echoed_is_lost_in_many_kills(tmp_path: Path) -> None:
    """J1 R5: `kill -9` at random points; every key whose echo arrived is there after the restart."""
    dice = random.Random(SEED)
    server = LiveServer(tmp_path / "data")
    lost: set[str] = set()
    with server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        writers = [Writer(f"w{n}", f"{server.ws_url}/{room_id}", token) for n in range(3)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for writer in writers:
                tasks.create_task(writer.run(stop))
            for cycle in range(CYCLES):
                await asyncio.sleep(dice.uniform(0.02, 0.4))
                # a busy machine may not have saved anything since the last start
                async with asyncio.timeout(60):
                    while sum(len(writer.durable) for writer in writers) <= cycle + 1:
                        await asyncio.sleep(0.005)
                await asyncio.to_thread(server.kill)
                shown = set().union(*(writer.durable for writer in writers))
                await asyncio.to_thread(server.start)
                _, state = await asyncio.to_thread(server.state, token, room_id)
                lost |= shown - stored_keys(state)
            stop.set()
    durable = sum(len(writer.durable) for writer in writers)
    print(f"{CYCLES} kills, {sum(w.written for w in writers)} keys written, {durable} shown as saved")
    assert durable > CYCLES
    assert not lost, f"{len(lost)} keys shown as saved are lost (seed {SEED}): {sorted(lost)[:10]}"


async def test_a_failing_commit_acknowledges_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """R7 R4: while the database refuses commits, nobody sees the edit, also not a reconnecting peer."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        url = f"{server.ws_url}/{room_id}"
        author = Writer("author", url, token)
        async with websockets.connect(author.url) as socket:
            await settle(author, socket)
            await socket.send(wire.encode_update(author.write()))
            await until_durable(author, socket, {"author-0"})

            block = sqlite3.connect(server.data_dir / "kanvas.db", isolation_level=None, timeout=10)
            block.execute("BEGIN IMMEDIATE")
            try:
                await socket.send(wire.encode_update(author.write()))
                await socket.send(wire.encode_update(author.write()))
                with pytest.raises(TimeoutError):
                    await until_durable(author, socket, {"author-1"}, timeout_s=1.0)
                assert author.durable == {"author-0"}
                # a reconnect in that window sees committed state only
                late = Writer("late", url, token)
                async with websockets.connect(late.url) as other:
                    await settle(late, other)
                    assert set(late.map.keys()) == {"author-0"}
                await socket.close()
            finally:
                block.execute("ROLLBACK")
                block.close()
        async with websockets.connect(author.url) as socket:
            await settle(author, socket)
            await until_durable(author, socket, {"author-0", "author-1", "author-2"})
        server.kill()
        server.start()
        _, state = server.state(token, room_id)
        assert stored_keys(state) == {"author-0", "author-1", "author-2"}


async def test_an_update_over_http_is_durable_when_answered(tmp_path: Path) -> None:
    """R9: POST /parties/{room} answers after the commit; the answer survives a kill."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        writer = Writer("http", "", "")
        headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        address = f"{server.url}/parties/{room_id}"
        first = httpx2.post(address, content=writer.write(), headers=headers, timeout=60)
        assert first.status_code == 200, first.text
        server.kill()
        server.start()
        version, state = server.state(token, room_id)
        assert version == first.json()["version"] == "1-1"
        assert stored_keys(state) == {"http-0"}
        writer.write()
        gap = httpx2.post(address, content=writer.write(), headers=headers, timeout=60)
        assert gap.status_code == 409
        assert gap.json()["code"] == "incomplete_update"
        assert gap.json()["state_vector"]


async def settle(writer: Writer, socket: websockets.ClientConnection) -> None:
    """Do the first sync both ways."""
    await socket.send(wire.encode_step_1(writer.doc.get_state()))
    async with asyncio.timeout(60):
        while True:
            message = wire.decode_message(bytes(await socket.recv(decode=False)))
            reply = writer.take(message)
            if reply is not None:
                await socket.send(reply)
            if isinstance(message, wire.Step2):
                return


async def until_durable(
    writer: Writer, socket: websockets.ClientConnection, keys: set[str], timeout_s: float = 60.0
) -> None:
    async with asyncio.timeout(timeout_s):
        while not keys <= writer.durable:
            reply = writer.take(wire.decode_message(bytes(await socket.recv(decode=False))))
            if reply is not None:
                await socket.send(reply)
