"""Several workers, and several services, of one installation: PostgreSQL and Redis between them, all real."""

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
import websockets

from server.auth import Tokens
from tests.backends.postgres import Postgres
from tests.backends.valkey import Valkey
from tests.live.patient import Patient
from tests.live.pulse import Pulse
from tests.live.test_durability import settle, stored_keys
from tests.live.test_supervisor import until
from tests.live.test_workers import Crewed
from tests.live.writer import Writer
from tests.servers import KANVAS, LiveServer, bearer

SECRET = "0123456789abcdef0123456789abcdef"


def installation(postgres: Postgres, valkey: Valkey, folder: Path) -> dict[str, str]:
    """What every process of one installation is given."""
    return {
        "KANVAS_DATABASE_URL": postgres.create(),
        "KANVAS_REDIS_URL": valkey.url(),
        "KANVAS_REDIS_PREFIX": f"{folder.name}:",
        "KANVAS_SECRET": SECRET,
        "KANVAS_LOG_FORMAT": "json",
    }


class Together(Crewed):
    """Two workers as an operator starts them."""

    def __init__(self, data_dir: Path, env: dict[str, str]) -> None:
        super().__init__(data_dir, **env)
        self._program = [*KANVAS, "serve"]


@pytest.fixture
def service(postgres: Postgres, valkey: Valkey, tmp_path: Path) -> Iterator[Together]:
    with Together(tmp_path / "data", installation(postgres, valkey, tmp_path)) as running:
        yield running


async def test_a_request_that_reaches_the_wrong_worker_sees_the_same(service: Together) -> None:
    """N1: on connections kept alive, one to each worker, a room is read and edited by both."""
    token = service.guest()
    room_id = service.room(token, schema="open")
    writer = Writer("w", f"{service.ws_url}/{room_id}", token)
    kept = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=30) for _ in range(2)]

    def meet_both() -> bool:
        """In turns; one that was asleep for a moment gets none."""
        owners = set()
        for one in kept:
            one.close()
            one.request("GET", "/healthz")
            one.getresponse().read()
            owners.add(service.owner(one.sock))
        return len(owners - {None}) == 2

    until(meet_both, "each has one of the connections")
    async with websockets.connect(writer.url) as line:
        await settle(writer, line)
        headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        for one in kept:
            one.request("POST", f"/parties/{room_id}", writer.write(), headers)
            answer = one.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"version": f"1-{writer.written}"})

        def read() -> list[set[str]]:
            states = []
            for one in kept:
                asking = bearer(token) | {"Accept": "application/octet-stream"}
                one.request("GET", f"/parties/{room_id}", headers=asking)
                states.append(stored_keys(one.getresponse().read()))
            return states

        await asyncio.to_thread(until, lambda: read() == [set(writer.map.keys())] * 2, "both have both")
    for one in kept:
        one.close()


@asynccontextmanager
async def front(servers: list[LiveServer]):
    """A balancer that knows nothing of rooms: the first server that takes the connection, in turns."""
    turn = 0

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        for at in range(len(servers)):
            with suppress(OSError):
                port = servers[(turn + at) % len(servers)].port
                above, below = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pump(reader, below), pump(above, writer))
                return
        writer.close()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/parties"
    finally:
        listening.close()


async def test_a_rolling_restart_of_two_services_loses_nothing_and_nobody_waits_long(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """N8: 30 people in rooms that both serve; each server ends within 10 s, nobody waits 3 s."""
    env = installation(postgres, valkey, tmp_path)
    servers = [LiveServer(tmp_path / name, env) for name in ("one", "two")]
    with servers[0], servers[1]:
        token = servers[0].guest()
        rooms = [servers[0].room(token, schema="open") for _ in range(5)]
        stop = asyncio.Event()
        async with front(servers) as url, Pulse(*servers) as pulse, asyncio.TaskGroup() as tasks:
            people = [Patient(f"p{number}", f"{url}/{rooms[number % 5]}", token) for number in range(30)]
            for one in people:
                tasks.create_task(one.run(stop, pause_s=0.1))
            await asyncio.to_thread(until, lambda: all(one.durable for one in people), "everybody draws")
            for server in servers:
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.to_thread(server.start)
            before = [len(one.durable) for one in people]
            pairs = list(zip(people, before, strict=True))
            on = lambda: all(len(one.durable) > had for one, had in pairs)  # noqa: E731
            await asyncio.to_thread(until, on, "everybody goes on")
            stop.set()
        for number, room_id in enumerate(rooms):
            for server in servers:
                stored = stored_keys((await asyncio.to_thread(server.state, token, room_id))[1])
                assert all(one.durable <= stored for one in people[number::5])
        assert max(one.longest_s(pulse) for one in people) < 3


async def test_an_order_given_to_one_service_holds_at_the_other_within_a_second(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """M5-M9: frozen, thawed, sent out, closed, drained, while everybody is at the other process."""
    env = installation(postgres, valkey, tmp_path)
    here, there = (LiveServer(tmp_path / name, env) for name in ("one", "two"))
    with here, there:
        token = here.guest()
        room_id = here.room(token, schema="open")
        operator = Tokens(SECRET.encode(), ttl_s=600).issue("op", "Operator", is_admin=True).token
        writer = Writer("w", f"{there.ws_url}/{room_id}", token)
        headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        async with httpx2.AsyncClient(timeout=60) as http, Pulse(here, there) as pulse:

            async def order(path: str, **body: object) -> None:
                url = f"{here.url}/api/v1/admin/{path}"
                answer = await http.post(url, headers=bearer(operator), **({"json": body} if body else {}))
                assert answer.status_code in (200, 204), answer.text

            # what was refused is sent again: an edit builds on those before it
            edits = [writer.write()]

            async def edit_there() -> int:
                url = f"{there.url}/parties/{room_id}"
                answer = await http.post(url, headers=headers, content=edits[-1])
                if answer.status_code == 200:
                    edits.append(writer.write())
                return answer.status_code

            async def within_a_second(is_so: Callable[[], Awaitable[bool]]) -> None:
                begin = time.monotonic()
                while not await is_so():
                    assert pulse.worked_s(begin) < 1
                    await asyncio.sleep(0.02)

            async def is_refused() -> bool:
                return await edit_there() != 200

            async def is_taken() -> bool:
                return await edit_there() == 200

            assert await is_taken()
            await order(f"rooms/{room_id}/freeze")
            await within_a_second(is_refused)
            await order(f"rooms/{room_id}/thaw")
            await within_a_second(is_taken)

            user_id = (await http.get(f"{here.url}/api/v1/me", headers=bearer(token))).json()["id"]
            for path, body in (("kick", {"user_id": user_id}), ("close", {"for_s": 600})):
                async with websockets.connect(writer.url) as line:
                    await settle(writer, line)
                    await order(f"rooms/{room_id}/{path}", **body)
                    begin = time.monotonic()
                    async with asyncio.timeout(60):
                        await line.wait_closed()
                    assert pulse.worked_s(begin) < 1
                    assert line.close_code == 4403, path
            await within_a_second(is_refused)

            nodes = (await http.get(f"{here.url}/api/v1/admin/nodes", headers=bearer(operator))).json()
            [other] = [one["node"] for one in nodes["items"] if not one["is_this"]]
            await order(f"nodes/{other}/drain")

            async def is_draining() -> bool:
                try:
                    return (await http.get(f"{there.url}/readyz")).status_code == 503
                except httpx2.TransportError:
                    return True

            await within_a_second(is_draining)
            assert await asyncio.to_thread(there.wait, there.stop_deadline_s) == 0


def test_the_service_says_it_is_well(service: Together) -> None:
    """N1: health is asked of any worker."""

    def answers() -> set[int]:
        return {httpx2.get(f"{service.url}/readyz", timeout=60).status_code for _ in range(4)}

    # a database that is slow for a moment is a reason not to be
    until(lambda: answers() == {200}, "every worker says so")
