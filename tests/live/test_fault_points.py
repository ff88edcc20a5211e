"""`kill -9` at named points: nothing acknowledged is lost, whatever the server was about to do."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest

from db.database import open_database
from db.journal import SqlJournal
from party.document import compact
from tests.live.composed import POINTS
from tests.live.test_durability import stored_keys
from tests.live.writer import Writer
from tests.servers import COMPOSED, LiveServer, bearer

CYCLES = int(os.environ.get("TEST_FAULT_CYCLES", str(len(POINTS))))
"""Kills; a full run is 500."""

SEED = int(os.environ.get("TEST_SEED", "20"))
EAGER = {"idle_s": 0.05, "beat_s": 0.02, "checkpoint_rows": 15}
STRIKE_S = 60.0
CYCLES_A_SERVER = 40


class Visitor:
    """Edits a room over HTTP now and then, so that it is checkpointed and unloaded in between."""

    def __init__(self, server: LiveServer, token: str, room_id: str) -> None:
        self._address = f"{server.url}/parties/{room_id}"
        self._headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        self._writer = Writer("visitor", "", "")
        self.durable: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        async with httpx2.AsyncClient(timeout=5) as http:
            while not stop.is_set():
                self._writer.write()
                written = self._writer.written
                with contextlib.suppress(httpx2.HTTPError):
                    # all of it: of an update without an answer nobody knows whether it arrived
                    state = self._writer.doc.get_update()
                    answer = await http.post(self._address, content=state, headers=self._headers)
                    if answer.status_code == 200:
                        self.durable = {f"visitor-{n}" for n in range(written)}
                await asyncio.sleep(0.15)


def faults(dice: random.Random) -> list[str]:
    """Each point equally often, at the first occurrence or a later one."""
    most = {"before-commit": 60, "after-commit": 60, "in-fan-out": 120}
    return [
        f"kill:{point}:{dice.randrange(1, most.get(point, 6))}"
        for point in (POINTS[cycle % len(POINTS)] for cycle in range(CYCLES))
    ]


async def journalled(server: LiveServer, room_id: str) -> set[str]:
    """The keys in the journal of the server that is dead, read as the next one would."""
    async with open_database(f"sqlite:///{server.data_dir / 'kanvas.db'}") as database:
        stored = await SqlJournal(database).load(room_id)
    return stored_keys(compact(stored.checkpoint, stored.updates))


@pytest.mark.timeout(7200)
async def test_nothing_acknowledged_is_lost_at_any_point(tmp_path: Path) -> None:
    """J1 J5 R5 R9 H3: before and after the commit, between two echoes, in and around a checkpoint and an
    unload; every key that was echoed or answered is there after the restart."""
    todo = faults(random.Random(SEED))
    durable = 0
    # now and then a new server with new rooms: a process that reads 100,000 keys at each start takes its time
    for nth in range(0, len(todo), CYCLES_A_SERVER):
        durable += await strike(tmp_path / f"data{nth}", todo[nth : nth + CYCLES_A_SERVER])
    print(f"{len(todo)} kills at {len(POINTS)} points, {durable} keys echoed or answered")
    assert durable > CYCLES


async def strike(folder: Path, todo: list[str]) -> int:
    """One kill for each fault; returns how many keys were acknowledged. Fails with what is lost."""
    server = LiveServer(folder, {"TEST_LIMITS": json.dumps(EAGER)}, COMPOSED)
    with server:
        token = server.guest()
        busy, quiet = server.room(token, schema="open"), server.room(token, schema="open")
        writers = [Writer(f"w{n}", f"{server.ws_url}/{busy}", token) for n in range(3)]
        visitor = Visitor(server, token, quiet)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for writer in writers:
                tasks.create_task(writer.run(stop, pause_s=0.01))
            tasks.create_task(visitor.run(stop))
            server.kill()
            for fault in todo:
                server.env["TEST_FAULT"] = fault
                # it may strike before the server is asked whether it is ready
                with contextlib.suppress(RuntimeError):
                    await asyncio.to_thread(server.start)
                try:
                    code = await asyncio.to_thread(server.wait, STRIKE_S)
                except subprocess.TimeoutExpired:
                    code = None
                assert code == -signal.SIGKILL, (
                    f"{fault} did not strike (seed {SEED}): {server.log()[-3000:]}"
                )
                shown = set().union(*(writer.durable for writer in writers))
                answered = set(visitor.durable)
                lost = (shown - await journalled(server, busy)) | (answered - await journalled(server, quiet))
                assert not lost, f"lost at {fault} (seed {SEED}): {sorted(lost)[:10]}"
            del server.env["TEST_FAULT"]
            await asyncio.to_thread(server.start)
            for room_id, of in ((busy, writers), (quiet, [visitor])):
                shown = set().union(*(one.durable for one in of))
                _, state = await asyncio.to_thread(server.state, token, room_id)
                assert shown - stored_keys(state) == set()
            stop.set()
    assert visitor.durable
    return len(visitor.durable) + sum(len(writer.durable) for writer in writers)
