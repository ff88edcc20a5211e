"""`kanvas keys rotate` as a process that is killed, again and again, while people draw and upload."""

import asyncio
import base64
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, insert, update

from db.cipher import list_keys
from db.scopes import as_system
from db.tables import room_heads, room_updates
from party.errors import Unavailable
from server.blobs.trial import once
from server.services import Services
from server.vault import commands
from tests.server.edge import open_edge
from tests.server.vault.test_rotation import Writer, checkpoint, in_use, key_ids, keys, start, stored_bytes

KILLS: Final = 2
MOST_TURNS: Final = 20
ROWS: Final = 600
FILES: Final = 8
MARK: Final = b"plain bytes of a file "


async def fill(services: Services, room_id: str) -> None:
    """A journal that takes a moment: rows from before encryption, which nobody reads as a document."""
    row = {"room_id": room_id, "epoch": 1, "user_id": "x", "created_at": services.now()}

    def put(connection: Connection) -> None:
        rows = [{**row, "seq": seq, "update_bytes": b"\0\0" + MARK} for seq in range(1, ROWS + 1)]
        connection.execute(insert(room_updates), rows)
        connection.execute(update(room_heads).where(room_heads.c.room_id == room_id).values(seq=ROWS))

    await as_system(services.database).write(put)
    for number in range(FILES):
        await put_file(services, number)


async def put_file(services: Services, number: int) -> None:
    data = file_of(number)
    await services.blobs.put(
        f"killed/{number}", once(data), size_bytes=len(data), content_type="application/octet-stream"
    )


def file_of(number: int) -> bytes:
    return (MARK + str(number).encode()) * 4000


async def run(given: dict[str, str], *arguments: str, kill_after_s: float | None = None) -> int:
    """`kanvas keys ...` to its end, or until it is killed so long after its first words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server", "keys", *arguments,
        env={name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")} | given,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    if kill_after_s is not None:
        await process.stdout.readline()
        await asyncio.sleep(kill_after_s)
        if process.returncode is None:
            process.kill()
    await process.stdout.read()
    return await process.wait()


async def type_on(services: Services, writer: Writer, over: asyncio.Event) -> int:
    """Type, upload and make checkpoints, until told; how many files there are then."""
    files = FILES
    turn = 0
    while not over.is_set():
        turn += 1
        await writer.write(f"{turn} ")
        if turn % 10 == 0:
            await put_file(services, files)
            files += 1
        if turn % 25 == 0:
            await checkpoint(services, writer.room_id)
        await asyncio.sleep(0.005)
    return files


async def read_file(services: Services, number: int) -> bytes:
    chunks: AsyncIterator[bytes] = services.blobs.read(f"killed/{number}")
    return b"".join([chunk async for chunk in chunks])


async def survive(folder: Path, place: Path | str, kills: int) -> int:
    """The whole of it; how many of the processes were killed at work."""
    killed = 0
    async with open_edge(folder, place, **keys(1)) as edge:
        services = edge.services
        writer, sender = await start(edge)
        old = (await sender.person.room(schema="open"))["id"]
        await fill(services, old)
        master = f"k1:{base64.b64encode(bytes([1]) * 32).decode()}"
        given = {"KANVAS_DATA_DIR": str(folder), "KANVAS_ENCRYPTION_KEYS": master}
        if isinstance(place, str):
            given["KANVAS_DATABASE_URL"] = place
        over = asyncio.Event()
        typing = asyncio.create_task(type_on(services, writer, over))
        try:
            for turn in range(MOST_TURNS):
                # where each was through before it could be killed, another one is
                if turn >= kills and killed:
                    break
                # a new key while the one before is not everywhere yet, or the one before
                arguments = ("rotate", "--to", "new") if turn % 2 else ("rotate",)
                ended = await run(given, *arguments, kill_after_s=random.uniform(0, 0.4))
                killed += ended == -signal.SIGKILL
                assert ended in (0, -signal.SIGKILL)
                # whatever it left can be read, by who has been there all along
                stored = await services.journal.load(old)
                assert [one[2:] for one in stored.updates] == [MARK] * ROWS
                await commands.retire(services.settings, lambda _: None)
            assert await run(given, "rotate") == 0
        finally:
            over.set()
            files = await typing
        assert await commands.retire(services.settings, lambda _: None)
        assert await key_ids(services) == {await in_use(services)}
        assert len(await as_system(services.database).read(list_keys)) == 1
        assert MARK not in await stored_bytes(services)
        await services.hub.evict(writer.room_id, Unavailable())
        assert await writer.read() == str(writer.text)
        for number in range(files):
            assert await read_file(services, number) == file_of(number)
    # and by who comes anew
    async with open_edge(folder, place, **keys(1)) as edge:
        writer.person.http = edge.http
        assert await writer.read() == str(writer.text)
        assert len((await edge.services.journal.load(old)).updates) == ROWS
        assert await read_file(edge.services, files - 1) == file_of(files - 1)
    return killed


async def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path, place: Path | str) -> None:
    """Z4 Z6 Z7: and each time it goes on, or begins with another key."""
    assert await survive(tmp_path, place, KILLS) > 0
