"""A serving process that hangs or crashes is replaced; what made it do so is held, everybody else goes on.

The servers are real; their document library fails on marked edits (poisoned.py).
"""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from pycrdt import Doc, Map

from party import wire
from tests.live.test_durability import settle, stored_keys
from tests.live.writer import Writer
from tests.servers import LiveServer, bearer

QUARANTINE = "/api/v1/admin/quarantine"
POISONED = (sys.executable, "-m", "tests.live.poisoned")
ROOT = Path(__file__).parents[2]
WAIT_S = 60.0


class Supervised(LiveServer):
    """A poisoned server, with an eye on its serving process and an operator's token."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.pid_file = data_dir.parent / f"{data_dir.name}.pid"
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        # else a worker that gets no processor for two seconds is one that hangs
        more = {"PYTHONPATH": path, "TEST_PID_FILE": str(self.pid_file), "KANVAS_HUNG_AFTER_S": "60"}
        super().__init__(data_dir, more | {"KANVAS_LOG_FORMAT": "json"} | env, POISONED)

    @property
    def worker(self) -> int:
        return int(self.pid_file.read_text(encoding="ascii"))

    def hangs(self) -> bool:
        """The worker has begun an edit that it never ends."""
        return self.pid_file.with_suffix(".hangs").exists()

    def held(self) -> list[dict[str, Any]]:
        listed = httpx2.get(f"{self.url}{QUARANTINE}", headers=bearer(self.admin()), timeout=30)
        assert listed.status_code == 200, listed.text
        items: list[dict[str, Any]] = listed.json()["items"]
        return items

    def replaced(self) -> list[dict[str, Any]]:
        return self.lines("worker ended and is replaced")

    def post(self, token: str, room_id: str, update: bytes) -> httpx2.Response:
        headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        return httpx2.post(f"{self.url}/parties/{room_id}", content=update, headers=headers, timeout=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Supervised]:
    with Supervised(tmp_path / "data") as running:
        yield running


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Supervised]:
    """One whose worker is soon taken for one that hangs."""
    with Supervised(tmp_path / "data", KANVAS_HUNG_AFTER_S="2") as running:
        yield running


def until(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def edit(key: str, client_id: int | None = None) -> tuple[Doc[Any], bytes]:
    """A document with one key in it, and the update that says so."""
    doc: Doc[Any] = Doc(client_id=client_id) if client_id is not None else Doc()
    doc.get("map", type=Map)[key] = 1
    return doc, doc.get_update()


def send_and_lose(server: Supervised, token: str, room_id: str, update: bytes) -> None:
    """Send an edit that nobody answers."""
    with pytest.raises(httpx2.TransportError):
        server.post(token, room_id, update)


@pytest.mark.parametrize(
    ("mark", "reason", "name"),
    [("HANG-NOW", "hung", "SIGKILL"), ("CRASH-NOW", "crashed", "SIGSEGV")],
)
async def test_a_hang_or_crash_in_native_code_costs_its_sender_alone(
    request: pytest.FixtureRequest, mark: str, reason: str, name: str
) -> None:
    """Q2, Q3, Q4, Q7: the others are back by themselves, the edit was not journalled, its client is held."""
    server: Supervised = request.getfixturevalue("strict" if reason == "hung" else "server")
    bad_token, token = server.guest("Mallory"), server.guest("Ada")
    room_id, other_id = server.room(token, schema="open"), server.room(token, schema="open")
    elsewhere = Writer("elsewhere", f"{server.ws_url}/{other_id}", token)
    beside = Writer("beside", f"{server.ws_url}/{room_id}", token)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for writer in (elsewhere, beside):
            tasks.create_task(writer.run(stop, pause_s=0.02))
        await asyncio.to_thread(until, lambda: elsewhere.durable and beside.durable, "two people draw")

        bad = Writer("bad", f"{server.ws_url}/{room_id}", bad_token)
        async with websockets.connect(bad.url) as socket:
            await settle(bad, socket)
            before = bad.doc.get_state()
            bad.map[mark] = 1
            await socket.send(wire.encode_update(bad.doc.get_update(before)))
            await socket.wait_closed()
        shown = len(elsewhere.durable), len(beside.durable)
        back = lambda: len(elsewhere.durable) > shown[0] and len(beside.durable) > shown[1]  # noqa: E731
        await asyncio.to_thread(until, back, "they go on, in its room and elsewhere")

        (hold,) = await asyncio.to_thread(server.held)
        assert (hold["kind"], hold["room_id"]) == ("client", room_id)
        assert (hold["client_id"], hold["stage"], hold["reason"]) == (bad.client_id, "edit", reason)
        assert hold["strikes"] == 1
        assert hold["is_held"]
        # the client comes back and sends the same edit in other bytes
        async with websockets.connect(bad.url) as socket:
            await settle(bad, socket)
            async with asyncio.timeout(WAIT_S):
                await socket.wait_closed()
            assert socket.close_code == 4422
            assert "none are taken until" in (socket.close_reason or "")
        stop.set()
    _, state = server.state(token, room_id)
    assert mark not in stored_keys(state)
    assert beside.durable <= stored_keys(state)

    refused = server.post(bad_token, room_id, edit("good", bad.client_id)[1])
    assert (refused.status_code, refused.json()["code"]) == (422, "quarantined")
    assert server.post(bad_token, room_id, edit("fresh")[1]).status_code == 200
    lifted = httpx2.delete(
        f"{server.url}{QUARANTINE}/{hold['id']}", headers=bearer(server.admin()), timeout=60
    )
    assert lifted.status_code == 204
    assert server.held() == []
    assert server.post(bad_token, room_id, edit("good", bad.client_id)[1]).status_code == 200

    (line,) = server.replaced()
    assert (line["reason"], line["signal"], line["room_id"]) == (reason, name, room_id)
    assert line["restarts"] == 1


def test_a_second_strike_holds_longer_and_outlives_the_service(server: Supervised) -> None:
    """Q4, Q7: 30 s, then a minute; a restart of everything forgets nothing."""
    token = server.guest()
    room_id = server.room(token, schema="open")
    update = edit("CRASH-NOW", 77)[1]
    send_and_lose(server, token, room_id, update)
    until(server.held, "the first strike")
    server.kill()
    # as if its 30 s were over
    with sqlite3.connect(server.data_dir / "kanvas.db") as database:
        database.execute("UPDATE quarantine SET until = last_at")
    server.start()
    assert [(one["strikes"], one["is_held"]) for one in server.held()] == [(1, False)]
    send_and_lose(server, token, room_id, update)
    until(lambda: [one["strikes"] for one in server.held()] == [2], "the second strike")
    assert server.post(token, room_id, update).status_code == 422
    assert server.stop() == 0
    server.start()
    (hold,) = server.held()
    assert (hold["strikes"], hold["is_held"]) == (2, True)
    assert server.post(token, room_id, update).status_code == 422


def test_a_room_that_can_not_be_opened_is_held_alone(tmp_path: Path) -> None:
    """Q6: 503 with Retry-After for the room, the next one opens."""
    with Supervised(tmp_path / "data", TEST_MARKS="-") as server:
        token = server.guest()
        room_id, other_id = server.room(token, schema="open"), server.room(token, schema="open")
        assert server.post(token, room_id, edit("CRASH-NOW")[1]).status_code == 200
        assert server.stop() == 0
    with Supervised(tmp_path / "data") as server:
        with pytest.raises(httpx2.TransportError):
            server.state(token, room_id)
        until(server.held, "the strike")
        (hold,) = server.held()
        assert (hold["kind"], hold["stage"], hold["user_id"]) == ("room", "load", None)
        refused = httpx2.get(f"{server.url}/parties/{room_id}", headers=bearer(token), timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "room_held")
        assert 0 < int(refused.headers["Retry-After"]) <= 30
        assert server.post(token, other_id, edit("a")[1]).status_code == 200
        assert len(server.replaced()) == 1


def test_a_panic_is_a_strike_without_a_restart(server: Supervised) -> None:
    """Q5, R6: the edit is refused, its client is held, the process is the same."""
    token = server.guest()
    room_id = server.room(token, schema="open")
    worker = server.worker
    refused = server.post(token, room_id, edit("PANIC-NOW", 5)[1])
    assert (refused.status_code, refused.json()["code"]) == (422, "poison")
    (hold,) = server.held()
    assert (hold["kind"], hold["client_id"], hold["reason"]) == ("client", 5, "panic")
    again = server.post(token, room_id, edit("good", 5)[1])
    assert (again.status_code, again.json()["code"]) == (422, "quarantined")
    assert server.worker == worker


def test_a_killed_worker_is_replaced_and_nothing_is_lost(server: Supervised) -> None:
    """Q2, Q3: what was answered is there, whoever connects meanwhile waits, nobody is blamed."""
    token = server.guest()
    room_id = server.room(token, schema="open")
    writer = Writer("w", "", "")
    for _ in range(3):
        assert server.post(token, room_id, writer.write()).status_code == 200
        first = server.worker
        os.kill(first, signal.SIGKILL)
        until(lambda: server.worker != first, "another worker")  # noqa: B023 - used at once
        # the connection lies in the queue of the listening socket until the new one takes it
        assert stored_keys(server.state(token, room_id)[1]) == set(writer.map.keys())
    assert server.held() == []
    assert [line["reason"] for line in server.replaced()] == ["killed"] * 3
    assert [line["pause_s"] > 0 for line in server.replaced()] == [False, True, True]
    assert server.stop() == 0


def test_that_nobody_reads_the_log_any_more_ends_nothing(tmp_path: Path) -> None:
    """Q8: a worker that ends then is replaced as ever, and the service ends as it is told."""
    server = Supervised(tmp_path / "data")
    server.log_path = tmp_path / "pipe"
    os.mkfifo(server.log_path)
    reader = os.open(server.log_path, os.O_RDONLY | os.O_NONBLOCK)
    with server:
        worker = server.worker
        os.close(reader)
        os.kill(worker, signal.SIGKILL)
        until(lambda: server.worker != worker and server.guest(), "the next one serves")
        assert server.stop() == 0


async def test_a_killed_supervisor_takes_its_worker_along(server: Supervised) -> None:
    """Q8: also one that hangs in native code, where no Python could notice."""
    token = server.guest()
    room_id = server.room(token, schema="open")
    worker = server.worker
    server.kill()
    await asyncio.to_thread(until, lambda: not is_alive(worker), "the worker ends, too")

    server.start()
    worker = server.worker
    bad = Writer("bad", f"{server.ws_url}/{room_id}", token)
    async with websockets.connect(bad.url) as socket:
        await settle(bad, socket)
        before = bad.doc.get_state()
        bad.map["HANG-NOW"] = 1
        await socket.send(wire.encode_update(bad.doc.get_update(before)))
        await asyncio.to_thread(until, server.hangs, "the worker hangs")
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(until, lambda: not is_alive(worker), "the worker ends, too")
    server.start()
    assert server.stop() == 0


def test_a_worker_asked_to_stop_ends_the_service(server: Supervised) -> None:
    """Q8: whoever stops the serving process means the service."""
    process = server._process
    assert process is not None
    os.kill(server.worker, signal.SIGTERM)
    assert process.wait(WAIT_S) == 0
    assert "Kanvas has stopped." in server.log()
    assert server.replaced() == []


def test_a_worker_that_hangs_while_it_is_stopped_is_killed_and_noted(strict: Supervised) -> None:
    """Q8, Q3: the stop ends in time, and the next start knows the culprit."""
    server, token = strict, strict.guest()
    room_id = server.room(token, schema="open")
    # who sleeps does not see that it hangs before it is told to stop
    os.kill(server.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        lost = threads.submit(send_and_lose, server, token, room_id, edit("HANG-NOW", 9)[1])
        until(server.hangs, "the worker hangs")
        for told in (signal.SIGTERM, signal.SIGCONT):
            os.kill(server.pid, told)
        assert server.wait(server.stop_deadline_s) == 1
        lost.result()
    assert "did not end and was killed" in server.log()
    server.start()
    assert [one["client_id"] for one in server.held()] == [9]


def test_a_paused_service_is_not_a_hung_one(strict: Supervised) -> None:
    """Q2: what stops the supervisor as well (a sleeping laptop, a stolen processor) is not silence."""
    server = strict
    worker = server.worker
    for pid in (server.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    for pid in (server.pid, worker):
        os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    assert httpx2.get(f"{server.url}/readyz", timeout=30).status_code == 200
    assert server.worker == worker


def test_a_worker_that_can_not_start_again_is_tried_with_back_off(server: Supervised) -> None:
    """Q8: the pauses grow, a stop in one of them ends at once, and a mended cause lets it serve again."""
    data, away = server.data_dir / "kanvas.db", server.data_dir / "away.db"
    first = server.worker
    httpx2.get(f"{server.url}/readyz", timeout=30)
    data.rename(away)
    data.write_bytes(b"this is no database" * 100)
    for side in ("-wal", "-shm"):
        (server.data_dir / f"kanvas.db{side}").rename(server.data_dir / f"away.db{side}")
    os.kill(first, signal.SIGKILL)
    until(lambda: len(server.replaced()) >= 3, "it is tried again and again")
    ends = server.replaced()
    assert [line["reason"] for line in ends[:3]] == ["killed", "crashed", "crashed"]
    assert ends[1]["exit_code"] == 1
    assert ends[0]["pause_s"] == 0
    assert 0.25 <= ends[1]["pause_s"] <= 0.5
    assert 0.5 <= ends[2]["pause_s"] <= 1
    assert "not a SQLite database" in server.log()
    data.unlink()
    for path in list(server.data_dir.glob("away.db*")):
        path.rename(server.data_dir / path.name.replace("away", "kanvas"))
    until(server._is_ready, "it serves again")
    assert server.stop() == 0


def test_a_first_start_that_fails_ends_the_service(tmp_path: Path) -> None:
    """Q8: with the worker's words and code, or with the signal that ended it; nothing is repeated."""
    with pytest.raises(RuntimeError, match="ended with 139") as ended:
        Supervised(tmp_path / "a", TEST_MARKS="AT-START").start()
    assert "ended by SIGSEGV" in str(ended.value)
    broken = Supervised(tmp_path / "b")
    (broken.data_dir / "kanvas.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RuntimeError, match="ended with 1:") as ended:
        broken.start()
    assert "not a SQLite database" in str(ended.value)
    with pytest.raises(RuntimeError, match="ended with 2:") as ended:
        Supervised(tmp_path / "c", KANVAS_HUNG_AFTER_S="soon").start()
    assert "KANVAS_HUNG_AFTER_S=soon is not valid" in str(ended.value)
    assert "replaced" not in broken.log()


def test_without_a_supervisor_there_is_one_process(tmp_path: Path) -> None:
    """Q8, Q5: what restarts it is the operator's; a panic is a strike all the same."""
    with Supervised(tmp_path / "data", KANVAS_SUPERVISOR="off") as server:
        assert not server.pid_file.exists()
        token = server.guest()
        room_id = server.room(token, schema="open")
        assert server.post(token, room_id, edit("PANIC-NOW", 5)[1]).status_code == 422
        process = server._process
        assert process is not None
        send_and_lose(server, token, room_id, edit("CRASH-NOW", 6)[1])
        assert process.wait(WAIT_S) == -signal.SIGSEGV
        server.kill()
        server.start()
        assert [one["client_id"] for one in server.held()] == [5]
        assert server.stop() == 0
