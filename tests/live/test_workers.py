"""Several workers behind one port: who gets which connection, and what becomes of it when one goes.

The servers are real (crewed.py); they share a SQLite file, so each room here is edited by one of them.
"""

import asyncio
import http.client as http_client
import os
import resource
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
import websockets

from server.acceptor import PATIENCE_S
from server.placement import rank
from tests.live.patient import Patient
from tests.live.pulse import Pulse
from tests.live.test_durability import settle, stored_keys
from tests.live.test_supervisor import WAIT_S, edit, until
from tests.live.writer import Writer
from tests.servers import LiveServer, bearer

LAST_DATA_RECV = 52
"""Where it is in Linux's struct tcp_info, in milliseconds."""

CREWED = (sys.executable, "-m", "tests.live.crewed")
ROOT = Path(__file__).parents[2]


class Crewed(LiveServer):
    """A server with two workers, and an eye on who holds which connection."""

    def __init__(self, data_dir: Path, workers: int = 2, **env: str) -> None:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        more = {"PYTHONPATH": path, "KANVAS_LOG_FORMAT": "json", "KANVAS_HUNG_AFTER_S": "60"}
        more["KANVAS_WORKERS"] = self.count = str(workers)
        super().__init__(data_dir, more | env, CREWED)

    def start(self) -> "Crewed":
        super().start()
        self.slots()
        return self

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        told = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True, check=False
        )
        return sorted(map(int, told.stdout.split()))

    def slots(self) -> dict[int, int]:
        """Slot to process id, once the worker of each slot gets its own connections."""
        found: dict[int, int] = {}

        def have_all() -> bool:
            nonlocal found
            found = self.slots_now()
            return len(found) == int(self.count)

        until(have_all, "every worker serves")
        return found

    def slots_now(self) -> dict[int, int]:
        """Slot to process id, as far as a worker of each slot holds a connection it was just handed."""
        found = {}
        for number in range(8 * int(self.count)):
            room = f"probe{number}"
            slot = rank(room.encode(), range(int(self.count)))[0]
            if slot in found:
                continue
            with self.connect(room) as client:
                if (pid := self.owner(client)) is not None:
                    found[slot] = pid
        return found if len(set(found.values())) == len(found) else {}

    def connect(self, room: str) -> socket.socket:
        """A connection with a request for this room, whose end has not come."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        client.sendall(f"GET /parties/{room} HTTP/1.1\r\nHost: a\r\n".encode())
        return client

    def owner(self, client: socket.socket, deadline_s: float = 2.0) -> int | None:
        """The worker that holds the other end of this connection."""
        ours, theirs = client.getsockname()[1], client.getpeername()[1]
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
                row = line.split()
                if row[1].endswith(f":{theirs:04X}") and row[2].endswith(f":{ours:04X}"):
                    for pid in self.workers():
                        if holds(pid, row[9]):
                            return pid
            time.sleep(0.01)
        return None

    def room_of(self, token: str, slot: int) -> str:
        """A new room that ranks this slot first."""
        while True:
            room_id = self.room(token, schema="open")
            if rank(room_id.encode(), range(int(self.count)))[0] == slot:
                return room_id

    def state_again(self, token: str, room_id: str) -> bytes:
        """The room's state, asked as clients do: again after a moment when the connection is lost."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                return self.state(token, room_id)[1]
            except httpx2.TransportError:
                assert time.monotonic() < end
                time.sleep(0.1)


def holds(pid: int, inode: str) -> bool:
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        # it has just ended
        return False
    for handle in handles:
        try:
            if str(handle.readlink()) == f"socket:[{inode}]":
                return True
        except FileNotFoundError:
            continue
    return False


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crewed]:
    with Crewed(tmp_path_factory.mktemp("workers") / "data") as running:
        yield running
        pids = running.workers()
    # Q8: the killed supervisor took every worker along
    until(lambda: not any(map(is_there, pids)), "the workers end, too")


def post(server: Crewed, token: str, room_id: str, update: bytes) -> httpx2.Response:
    headers = bearer(token) | {"Content-Type": "application/octet-stream"}
    return httpx2.post(f"{server.url}/parties/{room_id}", content=update, headers=headers, timeout=30)


async def test_every_kind_of_request_for_a_room_meets_one_worker(shared: Crewed) -> None:
    """N1, N7: socket and REST alike; both workers have rooms; what one does is no job of the other."""
    slots, token = shared.slots(), shared.guest()
    for slot, pid in slots.items():
        room_id = shared.room_of(token, slot)
        async with websockets.connect(f"{shared.ws_url}/{room_id}?token={token}") as line:
            raw = line.transport.get_extra_info("socket")
            assert shared.owner(raw, WAIT_S) == pid
            writer = Writer("w", "", "")
            assert post(shared, token, room_id, writer.write()).status_code == 200
            await settle(writer, line)
        assert stored_keys(shared.state(token, room_id)[1]) == set(writer.map.keys())
    assert {line["client"] for line in shared.lines("request")} == {"127.0.0.1"}
    # the greeting is one, whoever serves
    assert shared.log().count("Kanvas is at") == 1


def test_silent_connections_keep_nobody_waiting(shared: Crewed) -> None:
    """N3: 700 of them, more than are held."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    silent = [socket.create_connection(("127.0.0.1", shared.port), timeout=10) for _ in range(700)]
    try:
        # much sooner than the acceptor gives up
        assert httpx2.get(f"{shared.url}/healthz", timeout=PATIENCE_S - 10).status_code == 200
    finally:
        for one in silent:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_file_handles_it_goes_on_when_there_are_some(shared: Crewed) -> None:
    """N4: who comes meanwhile waits and is served."""
    limits = resource.prlimit(shared.pid, resource.RLIMIT_NOFILE)
    handles = Path(f"/proc/{shared.pid}/fd")
    until(lambda: len(list(handles.iterdir())) < 50, "nothing is left of other tests")
    taken = {int(one.name) for one in handles.iterdir()}
    lowest = next(number for number in range(1000) if number not in taken)
    resource.prlimit(shared.pid, resource.RLIMIT_NOFILE, (lowest, limits[1]))
    client = shared.connect("waiting")
    try:
        assert shared.owner(client, 0.3) is None
    finally:
        resource.prlimit(shared.pid, resource.RLIMIT_NOFILE, limits)
    assert shared.owner(client, WAIT_S) is not None
    client.close()


async def test_a_killed_worker_s_rooms_are_served_elsewhere_and_come_back(shared: Crewed) -> None:
    """N2, N6, Q2: at once, the other worker's people notice nothing, nothing is lost."""
    slots, token = shared.slots(), shared.guest()
    gone_id, kept_id = shared.room_of(token, 0), shared.room_of(token, 1)
    writer = Writer("w", "", "")
    assert post(shared, token, gone_id, writer.write()).status_code == 200
    async with websockets.connect(f"{shared.ws_url}/{kept_id}?token={token}") as kept:
        async with Pulse(shared) as pulse:
            os.kill(slots[0], signal.SIGKILL)
            began = time.monotonic()
            # what the dead one had been handed is closed, and asked again
            state = await asyncio.to_thread(shared.state_again, token, gone_id)
            assert pulse.worked_s(began) < 3
        assert stored_keys(state) == set(writer.map.keys())
        now = await asyncio.to_thread(shared.slots)
        assert now[1] == slots[1]
        assert now[0] != slots[0]
        assert kept.state.name == "OPEN"
    line = shared.lines("worker ended and is replaced")[-1]
    assert (line["worker"], line["reason"]) == (0, "killed")


def test_a_stopped_worker_gets_no_new_connections(shared: Crewed) -> None:
    """N4: soon after it fell silent its rooms are served by the other one; awake it has them again."""
    slots, token = shared.slots(), shared.guest()
    room_id = shared.room_of(token, 1)

    def goes_elsewhere() -> bool:
        with shared.connect(room_id) as client:
            return shared.owner(client, 0.2) == slots[0]

    os.kill(slots[1], signal.SIGSTOP)
    try:
        until(goes_elsewhere, "the other one gets its connections")
        shared.state(token, room_id)
    finally:
        os.kill(slots[1], signal.SIGCONT)
    until(lambda: shared.slots_now() == slots, "it has them again")


def test_an_edit_that_ends_its_worker_does_not_end_the_next_one(shared: Crewed) -> None:
    """N6, Q3, Q4: who sends it again waits for the worker that knows of it, and is refused."""
    slots, token, before = shared.slots(), shared.guest(), len(shared.lines("worker ended and is replaced"))
    room_id, other_id = shared.room_of(token, 1), shared.room_of(token, 0)
    update = edit("CRASH-NOW", 77)[1]
    with pytest.raises(httpx2.TransportError):
        post(shared, token, room_id, update)
    refused = post(shared, token, room_id, update)
    assert (refused.status_code, refused.json()["code"]) == (422, "quarantined")
    assert post(shared, token, other_id, edit("a")[1]).status_code == 200
    assert len(shared.lines("worker ended and is replaced")) == before + 1
    assert shared.slots()[0] == slots[0], "both serve"
    assert not list(shared.data_dir.glob("crashes*"))


def test_a_worker_that_is_asked_to_stop_is_replaced(shared: Crewed) -> None:
    """N6: a rolling restart of the workers is a signal to each; it is not reported as a failure."""
    slots, ends = shared.slots(), shared.lines("worker ended and is replaced")
    os.kill(slots[1], signal.SIGTERM)
    until(lambda: shared.slots_now().get(1) not in (None, slots[1]), "it is replaced")
    assert shared.slots()[0] == slots[0]
    assert shared.lines("worker ended and is replaced") == ends


def test_an_old_worker_is_replaced_on_the_tables_of_a_newer_version(shared: Crewed) -> None:
    """N9: while that one takes over; a service that starts anew refuses them, with words."""
    slots = shared.slots()
    with sqlite3.connect(shared.data_dir / "kanvas.db") as database:
        (known,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    try:
        os.kill(slots[1], signal.SIGKILL)
        until(lambda: shared.slots_now().get(1) not in (None, slots[1]), "it is replaced")
        env = {**shared.env, "PATH": "", "KANVAS_DATA_DIR": str(shared.data_dir), "KANVAS_PORT": "0"}
        anew = subprocess.run([*CREWED, "serve"], env=env, capture_output=True, text=True, check=False)
        assert anew.returncode == 1
        assert "newer" in anew.stderr
    finally:
        with sqlite3.connect(shared.data_dir / "kanvas.db") as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (known,))


async def test_a_rolling_restart_under_load_loses_nothing_and_nobody_waits_long(shared: Crewed) -> None:
    """N6, N8: one worker after the other, 30 people drawing; each comes back by itself within 3 s."""
    token, slots = shared.guest(), shared.slots()
    rooms = [shared.room_of(token, number % 2) for number in range(6)]
    people = [
        Patient(f"p{number}", f"{shared.ws_url}/{rooms[number % 6]}", shared.guest()) for number in range(30)
    ]
    stop = asyncio.Event()
    async with Pulse(shared) as pulse, asyncio.TaskGroup() as tasks:
        for one in people:
            tasks.create_task(one.run(stop, pause_s=0.1))
        await asyncio.to_thread(until, lambda: all(one.durable for one in people), "everybody draws")
        for slot, pid in slots.items():
            os.kill(pid, signal.SIGTERM)
            replaced = partial(lambda slot, pid: shared.slots_now().get(slot) not in (None, pid), slot, pid)
            await asyncio.to_thread(until, replaced, "it is replaced")
        before = [len(one.durable) for one in people]
        on = lambda: all(len(one.durable) > had for one, had in zip(people, before, strict=True))  # noqa: E731
        await asyncio.to_thread(until, on, "everybody goes on")
        stop.set()
    for number, room_id in enumerate(rooms):
        stored = stored_keys((await asyncio.to_thread(shared.state, token, room_id))[1])
        for one in people[number::6]:
            assert one.durable <= stored
    assert max(one.longest_s(pulse) for one in people) < 3


async def test_the_service_stops_as_one(tmp_path: Path) -> None:
    """Q8, N8: asked to stop every worker does, and people leave in waves."""
    with Crewed(tmp_path / "data") as server:
        pids, token = server.workers(), server.guest()
        assert len(pids) == 2
        rooms = [server.room_of(token, number % 2) for number in range(4)]
        urls = [f"{server.ws_url}/{rooms[number % 4]}?token={token}" for number in range(60)]
        lines = [await websockets.connect(url) for url in urls]
        ends = [line.transport.get_extra_info("socket").dup() for line in lines]
        async with asyncio.TaskGroup() as tasks:
            for line in lines:
                tasks.create_task(line.wait_closed())
            assert await asyncio.to_thread(server.stop) == 0
        assert {line.close_code for line in lines} == {1012}
        told = [told_at_s(end) for end in ends]
        assert max(told) - min(told) > 0.08
        assert not any(map(is_there, pids))
        assert server.log().count("Kanvas has stopped.") == 1


def told_at_s(end: socket.socket) -> float:
    """When the last bytes arrived, by the kernel's account: we may have come to read them later."""
    with end:
        info, now = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), time.monotonic()
    (ago_ms,) = struct.unpack_from("I", info, LAST_DATA_RECV)
    return now - ago_ms / 1000


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_supervisor_stays_small(tmp_path: Path) -> None:
    """N3: it imports next to nothing, with several workers too."""
    code = "import sys; from server import supervisor, acceptor; print(len(sys.modules), *sys.modules)"
    told = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    count, *names = told.stdout.split()
    assert int(count) < 100
    assert not {"asyncio", "logging", "json", "hashlib", "pathlib", "typer", "pydantic"} & set(names)


def test_each_worker_is_scraped_by_itself(tmp_path: Path) -> None:
    """N10: its own numbers each time, whatever a connection was used for; /metrics says where they are."""
    with Crewed(tmp_path / "data") as service:
        token = service.guest()
        for slot in (0, 1):
            service.room_of(token, slot)
        told: dict[int, set[str]] = {0: set(), 1: set()}
        with httpx2.Client(timeout=30) as http:
            for _ in range(3):
                for slot in (0, 1):
                    answer = http.get(f"{service.url}/metrics/{slot}")
                    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
                    [info] = [line for line in answer.text.splitlines() if line.startswith("kanvas_info{")]
                    told[slot].add(info)
            assert list(map(len, told.values())) == [1, 1]
            assert told[0] != told[1]
            both = http.get(f"{service.url}/metrics")
            assert (both.status_code, "kanvas_info" in both.text) == (300, False)
            assert "/metrics/0\n# /metrics/1\n" in both.text
            assert http.get(f"{service.url}/metrics/2").status_code == 404
        # a connection that another worker has for something else
        kept = http_client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        found = set()
        for _ in range(2):
            kept.request("GET", "/healthz")
            kept.getresponse().read()
            kept.request("GET", "/metrics/0")
            answer = kept.getresponse()
            found.add(answer.status)
            assert (answer.status == 421) is (b"kanvas_info" not in answer.read())
        kept.close()
        assert found == {200, 421}
