"""Two servers on one data folder, one of them stopped in the middle of something: it overwrites nothing."""

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.live.test_durability import stored_keys
from tests.live.test_fault_points import journalled
from tests.live.writer import Writer
from tests.servers import COMPOSED, LiveServer, bearer

LIMITS = json.dumps({"beat_s": 0.02, "checkpoint_rows": 15})
QUIET_S = 1.0
SEEDS = range(int(os.environ.get("TEST_STOP_SEEDS", "1")))


class Script:
    """Writes numbered keys over HTTP, each answer awaited."""

    def __init__(self, name: str, token: str, room_id: str) -> None:
        self.writer = Writer(name, "", "")
        self.answered: set[str] = set()
        self._headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        self._room_id = room_id

    async def write(self, server: LiveServer, times: int = 1) -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            for _ in range(times):
                key = f"{self.writer.name}-{self.writer.written}"
                update = self.writer.write()
                address = f"{server.url}/parties/{self._room_id}"
                answer = await http.post(address, content=update, headers=self._headers)
                if answer.status_code == 409:
                    # this server has not read yet what the other one wrote: send all, as the answer says
                    state = self.writer.doc.get_update()
                    answer = await http.post(address, content=state, headers=self._headers)
                assert answer.status_code == 200, answer.text
                self.answered.add(key)


def checkpoint_seq(server: LiveServer, room_id: str) -> int:
    with closing(sqlite3.connect(server.data_dir / "kanvas.db", timeout=30)) as connection:
        query = "SELECT checkpoint_seq FROM room_heads WHERE room_id = ?"
        (seq,) = connection.execute(query, (room_id,)).fetchone()
    return int(seq)


def wait_until_stopped(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


async def until_checkpoint(server: LiveServer, room_id: str, least: int) -> int:
    async with asyncio.timeout(60):
        while (seq := checkpoint_seq(server, room_id)) < least:
            await asyncio.sleep(0.02)
    return seq


@pytest.mark.parametrize("point", ["checkpoint-computed", "checkpoint-in-transaction"])
async def test_a_process_stopped_across_a_checkpoint_of_another_overwrites_nothing(
    tmp_path: Path, point: str
) -> None:
    """J4 J5 H7: SIGSTOP behind the computing of a checkpoint, and within the transaction that installs it;
    the other appends and makes checkpoints of its own, then it goes on. An older one is refused, and all rows
    are there."""
    env = {"TEST_LIMITS": LIMITS}
    slow = LiveServer(tmp_path / "data", env | {"TEST_FAULT": f"stop:{point}:1"}, COMPOSED)
    other = LiveServer(tmp_path / "data", env, COMPOSED)
    with slow, other:
        token = slow.guest()
        room_id = slow.room(token, schema="open")
        first, second = Script("first", token, room_id), Script("second", token, room_id)
        # the checkpoint begins behind an answer, so the stop may come before the next one
        under_way = asyncio.create_task(first.write(slow, 15))
        await asyncio.to_thread(wait_until_stopped, slow.pid)
        pid = slow.pid
        try:
            if point == "checkpoint-computed":
                await second.write(other, 40)
                seen = await until_checkpoint(other, room_id, 40)
            else:
                # it holds the database; the other waits for it and answers nothing meanwhile
                waiting = asyncio.create_task(second.write(other, 20))
                await asyncio.sleep(QUIET_S)
                assert not second.answered
                seen = 0
        finally:
            os.kill(pid, signal.SIGCONT)
        await under_way
        if point == "checkpoint-in-transaction":
            await waiting
        assert checkpoint_seq(other, room_id) >= seen
        for server in (slow, other, slow):
            await first.write(server, 10)
            await second.write(server, 10)
        assert await until_checkpoint(other, room_id, seen + 10) >= seen
        everything = first.answered | second.answered
        _, state = await asyncio.to_thread(slow.state, token, room_id)
        assert second.answered - stored_keys(state) == set()
        slow.kill()
        other.kill()
        assert await journalled(other, room_id) == everything


@pytest.mark.parametrize("seed", SEEDS)
async def test_stops_at_random_lose_nothing(tmp_path: Path, seed: int) -> None:
    """J3 J5 H7: now one and now the other process sleeps while the other one works."""
    servers = [LiveServer(tmp_path / "data", {"TEST_LIMITS": LIMITS}, COMPOSED) for _ in range(2)]
    with servers[0], servers[1]:
        token = servers[0].guest()
        room_id = servers[0].room(token, schema="open")
        scripts = [Script(f"s{n}-{seed}", token, room_id) for n in range(2)]
        for turn in range(6):
            asleep, awake = servers[turn % 2], servers[1 - turn % 2]
            under_way = asyncio.create_task(scripts[0].write(asleep, 12))
            await asyncio.sleep(0.004 * (1 + seed + turn))
            os.kill(asleep.pid, signal.SIGSTOP)
            try:
                meanwhile = asyncio.create_task(scripts[1].write(awake, 12))
                await asyncio.wait([meanwhile], timeout=1.0)
            finally:
                os.kill(asleep.pid, signal.SIGCONT)
            await asyncio.gather(under_way, meanwhile)
        for server in servers:
            server.kill()
        assert await journalled(servers[0], room_id) == scripts[0].answered | scripts[1].answered
