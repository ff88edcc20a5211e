"""A disk that is full or fails under a running server: nothing is acknowledged that is not saved, writers are
told, and the room comes back by itself."""

import asyncio
import json
import resource
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import websockets

from party import wire
from tests.live.strace import find_strace
from tests.live.test_durability import settle, stored_keys, until_durable
from tests.live.writer import Writer
from tests.servers import COMPOSED, LiveServer, bearer

Fault = Callable[[LiveServer], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def file_size_limit(server: LiveServer) -> AsyncIterator[None]:
    """No file of the process can be written (EFBIG), its log neither."""
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))


def injected(calls: str, error: str) -> Fault:
    """The kernel says `error` to `calls` on the WAL, by strace's hand."""

    @asynccontextmanager
    async def inject(server: LiveServer) -> AsyncIterator[None]:
        wal = str(server.data_dir / "kanvas.db-wal")
        strace = await asyncio.create_subprocess_exec(
            find_strace(),
            *("-f", "-o", str(server.data_dir.parent / "strace.txt"), "-P", wal),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:error={error}", "-p", str(server.pid)),
            stdin=DEVNULL,
            stderr=PIPE,
        )
        assert strace.stderr is not None
        try:
            async with asyncio.timeout(60):
                said = await strace.stderr.readline()
            assert b"attached" in said, said + await strace.stderr.read()
            yield
        finally:
            # it lets go of the server and ends
            strace.send_signal(signal.SIGTERM)
            await strace.stderr.read()
            await strace.wait()

    return inject


FAULTS: dict[str, Fault] = {
    "file size limit": file_size_limit,
    "disk full": injected("pwrite64", "ENOSPC"),
    "write error": injected("pwrite64", "EIO"),
    "sync error": injected("fdatasync", "EIO"),
}


class Listener:
    """Reads a socket all the time, so that what arrives is known without asking for it."""

    def __init__(self, writer: Writer, socket: websockets.ClientConnection) -> None:
        self.writer = writer
        self.presence: list[wire.ClientState] = []
        self._socket = socket

    async def run(self) -> None:
        async for data in self._socket:
            assert isinstance(data, bytes)
            message = wire.decode_message(data)
            if isinstance(message, wire.Awareness):
                self.presence += wire.decode_awareness(message.payload)
            if (reply := self.writer.take(message)) is not None:
                await self._socket.send(reply)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not what():
            await asyncio.sleep(0.01)


def post(server: LiveServer, token: str, room_id: str, update: bytes) -> httpx2.Response:
    headers = bearer(token) | {"Content-Type": "application/octet-stream"}
    return httpx2.post(f"{server.url}/parties/{room_id}", content=update, headers=headers, timeout=60)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_edits_wait_for_the_disk_and_are_saved_without_a_reconnect(
    tmp_path: Path, fault: Fault
) -> None:
    """R5 R7 P4: no echo and no answer while it fails, presence and joins go on, then the very same edits
    are acknowledged; what was acknowledged survives a kill."""
    with LiveServer(tmp_path / "data", {}, COMPOSED) as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        url = f"{server.ws_url}/{room_id}"
        author, reader, script = (
            Writer("author", url, token),
            Writer("reader", url, token),
            Writer("script", "", ""),
        )
        async with websockets.connect(author.url) as socket, websockets.connect(reader.url) as other:
            await settle(author, socket)
            await settle(reader, other)
            await socket.send(wire.encode_update(author.write()))
            await until_durable(author, socket, {"author-0"})
            mine, theirs = Listener(author, socket), Listener(reader, other)
            async with asyncio.TaskGroup() as tasks:
                reading = [tasks.create_task(one.run()) for one in (mine, theirs)]
                async with fault(server):
                    await socket.send(wire.encode_update(author.write()))
                    await socket.send(wire.encode_update(author.write()))
                    answer = tasks.create_task(
                        asyncio.to_thread(post, server, token, room_id, script.write())
                    )
                    await until(lambda: "waits for its journal" in readiness(server))
                    state = wire.encode_awareness_states([wire.ClientState(7, 1, {"cursor": [1, 2]})])
                    await socket.send(wire.encode_awareness(state))
                    await until(lambda: any(one.client_id == 7 for one in theirs.presence))
                    late = Writer("late", url, token)
                    async with websockets.connect(late.url) as joining:
                        await settle(late, joining)
                    assert set(late.map.keys()) == set(reader.map.keys()) == author.durable == {"author-0"}
                    assert server.state(token, room_id)[0] == "1-1"
                    assert not answer.done()
                await until(lambda: len(author.durable) == 3)
                assert (await answer).status_code == 200
                await until(lambda: len(reader.map) == 4)
                await until(lambda: readiness(server) == "")
                for task in reading:
                    task.cancel()
        server.kill()
        server.start()
        assert stored_keys(server.state(token, room_id)[1]) == {
            "author-0",
            "author-1",
            "author-2",
            "script-0",
        }


def readiness(server: LiveServer) -> str:
    """Why the server wants no traffic; empty when it does."""
    answer = httpx2.get(f"{server.url}/readyz", timeout=60)
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


async def test_beyond_the_deadline_everybody_is_told_to_come_back(tmp_path: Path) -> None:
    """R7 S5: sessions get 1013, scripts 503 and words; who comes back meanwhile sees what is saved; when
    the disk does again, the edits that nobody confirmed are saved."""
    env = {"TEST_LIMITS": json.dumps({"commit_deadline_s": 1.0})}
    with LiveServer(tmp_path / "data", env, COMPOSED) as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        author = Writer("author", f"{server.ws_url}/{room_id}", token)
        script = Writer("script", "", "")
        kept = script.write()
        async with FAULTS["disk full"](server):
            for _ in range(2):
                async with websockets.connect(author.url) as socket:
                    await settle(author, socket)
                    assert not author.durable
                    await socket.send(wire.encode_update(author.write()))
                    async with asyncio.timeout(60):
                        await socket.wait_closed()
                    assert socket.close_code == 1013
                    assert "try again" in str(socket.close_reason)
            refused = await asyncio.to_thread(post, server, token, room_id, kept)
            assert refused.status_code == 503
            assert refused.headers["content-type"].startswith("application/problem+json")
            assert refused.headers["retry-after"]
            assert "disk is full" in refused.json()["detail"]
            assert server.state(token, room_id)[0] == "1-0"
        async with websockets.connect(author.url) as socket:
            await settle(author, socket)
            await until_durable(author, socket, {"author-0", "author-1"})
        assert (await asyncio.to_thread(post, server, token, room_id, kept)).status_code == 200
        server.kill()
        server.start()
        assert stored_keys(server.state(token, room_id)[1]) == {"author-0", "author-1", "script-0"}
