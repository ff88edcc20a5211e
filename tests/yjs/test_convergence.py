"""Real Yjs in Node against a live server: all documents, the server's and a cold restart's are equal."""

import asyncio
import json
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.test_durability import stored_keys
from tests.live.writer import Writer
from tests.servers import LiveServer, run

FUZZ = str(Path(__file__).with_name("fuzz.mjs"))
BAD_DAYS = range(1, 1 + int(os.environ.get("TEST_BAD_DAYS", "1")))
SEEDS = range(1, 1 + int(os.environ.get("TEST_FUZZ_SEEDS", "1")))
NODE = os.environ.get("TEST_NODE") or shutil.which("node") or "node"


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed{seed}")
async def test_five_yjs_clients_and_two_servers_converge(tmp_path: Path, seed: int) -> None:
    """D4 W4: five stock y-websocket clients, random edits and disconnects, then everybody has the same."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        clients = json.loads(
            await run(NODE, FUZZ, "edit", server.ws_url, room_id, token, str(seed), "5", "400")
        )
        warm = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        version, _ = server.state(token, room_id)
        server.kill()
        server.start()
        cold = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        assert server.state(token, room_id)[0] == version
    assert clients["vector"]
    assert warm == clients
    assert cold == clients


@pytest.mark.parametrize("seed", BAD_DAYS, ids=lambda seed: f"seed{seed}")
async def test_yjs_and_pycrdt_converge_through_kills_and_a_failing_journal(tmp_path: Path, seed: int) -> None:
    """W4 R5 R7 J1 P4: stock clients and ours in one room; the server is killed, its database refuses commits,
    sockets stall; nothing that was echoed is lost, and everybody has the same and sees everybody."""
    dice = random.Random(seed)
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        writers = [Writer(f"py{n}", f"{server.ws_url}/{room_id}", token) for n in range(2)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(writer.run(stop, pause_s=0.02)) for writer in writers]
            # about eight seconds, and until ours are done as well
            ours_done = tmp_path / "done"
            game = tasks.create_task(
                run(
                    *(NODE, FUZZ, "edit", server.ws_url, room_id, token, str(seed), "4", "900", "60"),
                    str(ours_done),
                )
            )
            for _ in range(2):
                await asyncio.sleep(dice.uniform(0.3, 1.0))
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                await asyncio.sleep(dice.uniform(0.2, 0.6))
                await asyncio.to_thread(refuse_commits, server, dice.uniform(0.2, 1.5))
            stop.set()
            await asyncio.gather(*writing)
            # what they sent last may still be on its way through the server
            await asyncio.gather(*(writer.finish() for writer in writers))
            shown = set().union(*(writer.durable for writer in writers))
            ours_done.touch()
        clients = json.loads(await game)
        warm = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        server.kill()
        server.start()
        cold = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        _, state = server.state(token, room_id)
    assert shown
    assert shown - stored_keys(state) == set()
    assert warm == clients
    assert cold == clients


def refuse_commits(server: LiveServer, during_s: float) -> None:
    """Another process holds the database."""
    import time

    with closing(sqlite3.connect(server.data_dir / "kanvas.db", isolation_level=None, timeout=30)) as block:
        block.execute("BEGIN IMMEDIATE")
        time.sleep(during_s)
        block.execute("ROLLBACK")
