"""Journal before eyes, seen from the kernel: no send before the fdatasync that covers it."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx2
import pytest
import websockets

from party import wire
from tests.live.strace import traced, violations
from tests.live.test_durability import settle, until_durable
from tests.live.writer import Writer
from tests.servers import COMPOSED, LiveServer, bearer

EDITS = 40
FIRST = 10

TRACE = """\
7  pwrite64(9</d/kanvas.db-wal>, "..mark-1..", 4096, 24) = 4096
7  fdatasync(9</d/kanvas.db-wal>) = 0
6  sendto(12<TCP:[1]>, "..mark-1..", 70, 0, NULL, 0) = 70
"""


def test_a_send_behind_the_sync_is_in_order() -> None:
    assert violations(TRACE.splitlines(), ["mark-1"]) == []


@pytest.mark.parametrize(
    ("trace", "word"),
    [
        ("\n".join(TRACE.splitlines()[i] for i in (0, 2, 1)), "before the sync"),
        ("\n".join(TRACE.splitlines()[i] for i in (1, 0, 2)), "never synced"),
        ("\n".join(TRACE.splitlines()[i] for i in (0, 2)), "never synced"),
        ("\n".join(TRACE.splitlines()[i] for i in (0, 1)), "never sent"),
        ("\n".join(TRACE.splitlines()[i] for i in (1, 2)), "never written"),
        (TRACE.replace("fdatasync(9</d/kanvas.db-wal>)", "fdatasync(8</d/kanvas.db>)"), "never synced"),
        (TRACE.replace(">) = 0", ">) = -1 EIO (Input/output error)"), "never synced"),
        (
            # the sync is not over when it is sent
            TRACE.replace(">) = 0\n", "> <unfinished ...>\n") + "7  <... fdatasync resumed>) = 0\n",
            "before the sync",
        ),
        (
            # the sync had begun when it was written
            "8  fdatasync(9</d/kanvas.db-wal> <unfinished ...>\n"
            + TRACE.replace("7  fdatasync(9</d/kanvas.db-wal>) = 0", "8  <... fdatasync resumed>) = 0"),
            "never synced",
        ),
    ],
)
def test_every_other_order_is_told(trace: str, word: str) -> None:
    (told,) = violations(trace.splitlines(), ["mark-1"])
    assert word in told


async def trace_edits(folder: Path, env: dict[str, str]) -> tuple[list[str], list[str]]:
    """What a server did while two people and a script edited: its calls, and the markers of the edits."""
    output = folder / "strace.txt"
    with LiveServer(folder / "data", env, traced(COMPOSED, str(output))) as server:
        try:
            markers = await edit(server)
        finally:
            await asyncio.to_thread(stop, server, output)
    return output.read_text(errors="replace").splitlines(), markers


async def edit(server: LiveServer) -> list[str]:
    token = await asyncio.to_thread(server.guest)
    room_id = await asyncio.to_thread(server.room, token, schema="open")
    author, reader, script = (
        Writer(name, f"{server.ws_url}/{room_id}", token) for name in ("author", "reader", "script")
    )
    # two digits each, so that no marker is the beginning of another
    for writer in (author, reader, script):
        writer.written = FIRST
    async with (
        websockets.connect(author.url) as socket,
        websockets.connect(reader.url) as other,
        httpx2.AsyncClient(timeout=60) as http,
    ):
        await settle(author, socket)
        await settle(reader, other)
        for nth in range(EDITS):
            await socket.send(wire.encode_update(author.write()))
            await other.send(wire.encode_update(reader.write()))
            if nth % 4 == 0:
                # the answer has no content of the update; it repeats the id of the request
                headers = {
                    "X-Request-ID": f"script-{script.written}",
                    "Content-Type": "application/octet-stream",
                }
                address = f"{server.url}/parties/{room_id}"
                answer = await http.post(address, content=script.write(), headers=bearer(token) | headers)
                assert answer.status_code == 200, answer.text
        for writer, its in ((author, socket), (reader, other)):
            await until_durable(writer, its, {f"{writer.name}-{FIRST + nth}" for nth in range(EDITS)})
    return [
        f"{writer.name}-{nth}" for writer in (author, reader, script) for nth in range(FIRST, writer.written)
    ]


def stop(server: LiveServer, output: Path) -> None:
    """SIGTERM to the traced server, whose pid the first line begins with; strace ends with it.

    A signal to strace would end it and leave the server.
    """
    os.kill(int(output.read_text(errors="replace").split(maxsplit=1)[0]), signal.SIGTERM)
    server.wait()


async def test_every_send_is_behind_its_fdatasync(tmp_path: Path) -> None:
    """J1 R5 R9: for the author's echo, for the other person, and for the answer over HTTP."""
    lines, markers = await trace_edits(tmp_path, {})
    found = violations(lines, markers)
    assert found == [], "\n".join(found[:10])


async def test_the_check_sees_a_database_that_does_not_sync(tmp_path: Path) -> None:
    """J1: the same with synchronous=NORMAL, which SQLite's own documentation does not call durable."""
    lines, markers = await trace_edits(tmp_path, {"TEST_SYNCHRONOUS": "NORMAL"})
    found = violations(lines, markers)
    assert len(found) > EDITS / 2, json.dumps(found)
    assert all("sync" in one for one in found)
