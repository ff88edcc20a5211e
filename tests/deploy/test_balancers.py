"""The balancers' configurations with the real programs, before two real servers on one database."""

import asyncio
import http.client
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import websockets

from tests.deploy.balancers import Balancer
from tests.live.pulse import Pulse
from tests.live.test_supervisor import edit, until
from tests.live.test_workers import Crewed
from tests.servers import LiveServer, bearer

ROOMS = 12
MOST_ROOMS = 60


class Pair:
    """Two servers."""

    def __init__(self, folder: Path) -> None:
        env = {"KANVAS_LOG_FORMAT": "json", "KANVAS_SUPERVISOR": "off"}
        self.servers = [LiveServer(folder / "data", env) for _ in range(2)]

    def served(self, room_id: str) -> set[int]:
        """Which of them had anything to do with a room."""
        found = set()
        for number, server in enumerate(self.servers):
            requests = [line["path"] for line in server.lines("request")]
            joins = [line["room_id"] for line in server.lines("party joined")]
            if room_id in joins or any(room_id in path for path in requests):
                found.add(number)
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    with made.servers[0], made.servers[1]:
        yield made


@pytest.fixture(params=["nginx", "haproxy"])
def balancer(request: pytest.FixtureRequest, pair: Pair, tmp_path: Path) -> Iterator[Balancer]:
    with Balancer(request.param, tmp_path / "balancer", [one.port for one in pair.servers]) as made:
        yield made


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def test_every_kind_of_request_for_a_room_meets_one_server(pair: Pair, balancer: Balancer) -> None:
    """N1: over TLS; the rooms are spread, sockets go through, large bodies too."""
    token = pair.servers[0].guest()
    by: dict[str, set[int]] = {}
    url = f"wss://127.0.0.1:{balancer.port}/parties"
    with httpx2.Client(verify=trusting(), base_url=balancer.url, headers=bearer(token), timeout=30) as client:
        binary = {"Content-Type": "application/octet-stream"}
        # one time in two thousand so many rooms all fall to one server
        while len(by) < ROOMS or (set.union(*by.values()) != {0, 1} and len(by) < MOST_ROOMS):
            room_id = pair.servers[0].room(token, schema="open", title=str(len(by)))
            assert not pair.served(room_id)
            async with websockets.connect(f"{url}/{room_id}?token={token}", ssl=trusting()) as line:
                assert await line.recv()
            posted = client.post(f"/parties/{room_id}", content=edit("a")[1], headers=binary)
            assert posted.status_code == 200, posted.text
            for path in (f"/parties/{room_id}", f"/parties/{room_id}/base", f"/api/v1/rooms/{room_id}"):
                assert client.get(path).status_code == 200
            by[room_id] = pair.served(room_id)
        large = client.post(f"/parties/{room_id}", content=bytes(3_000_000), headers=binary)
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        assert client.get("/readyz").status_code == 200
    by = {room_id: pair.served(room_id) for room_id in by}
    assert set(map(len, by.values())) == {1}
    assert set.union(*by.values()) == {0, 1}
    assert token not in balancer.log()


def test_the_server_learns_where_the_client_is(pair: Pair, balancer: Balancer) -> None:
    """N1: its address and that it came by https, as the balancer says, whatever the client says of itself."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", balancer.port, context=trusting(), timeout=30, source_address=("127.0.0.9", 0)
    )
    path = f"/api/v1/where-{balancer.name}"
    claimed = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.8", "X-Forwarded-Proto": "http"}
    connection.request("GET", path, headers=claimed)
    assert connection.getresponse().status == 404
    connection.close()

    def told() -> list[str]:
        lines = [line for one in pair.servers for line in one.lines("request")]
        return [line["client"] for line in lines if line["path"] == path]

    # it is written when the answer is gone
    until(told, "the server's line")
    assert told() == ["127.0.0.9"]
    plain = httpx2.get(f"http://127.0.0.1:{balancer.plain_port}/r/1?a=b", follow_redirects=False, timeout=60)
    assert plain.status_code == 301
    assert plain.headers["location"].startswith("https://127.0.0.1")
    assert plain.headers["location"].endswith("/r/1?a=b")


async def test_a_killed_server_s_rooms_are_served_by_the_other(pair: Pair, balancer: Balancer) -> None:
    """N2: within three seconds, and the other one's people notice nothing."""
    token = pair.servers[0].guest()
    rooms = [pair.servers[0].room(token, schema="open", title=str(number)) for number in range(6)]
    url = f"wss://127.0.0.1:{balancer.port}/parties"
    lines = [await websockets.connect(f"{url}/{one}?token={token}", ssl=trusting()) for one in rooms]
    await asyncio.to_thread(until, lambda: all(map(pair.served, rooms)), "every server's line")
    gone, other = pair.servers
    gone.kill()
    began = time.monotonic()
    try:
        async with Pulse(other) as pulse:
            await asyncio.sleep(0.3)
            for room_id, line in zip(rooms, lines, strict=True):
                if pair.served(room_id) == {0}:
                    await asyncio.wait_for(line.wait_closed(), 60)
                    async with websockets.connect(f"{url}/{room_id}?token={token}", ssl=trusting()) as again:
                        assert await again.recv()
                else:
                    assert line.state.name == "OPEN"
            assert pulse.worked_s(began) < 3
    finally:
        for line in lines:
            await line.close()
        gone.start()
        await asyncio.to_thread(until, gone._is_ready, "it is back")


@pytest.fixture(scope="module")
def crewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crewed]:
    with Crewed(tmp_path_factory.mktemp("crewed") / "data") as running:
        yield running


def seats(server: Crewed) -> list[int]:
    """How many sockets each worker holds."""
    told = [httpx2.get(f"{server.url}/metrics/{slot}", timeout=30).text for slot in range(2)]
    return [int(float(re.findall(r"^kanvas_seats (\S+)", one, re.MULTILINE)[0])) for one in told]


@pytest.mark.parametrize(("name", "pool"), [("nginx", 0), ("nginx", 64), ("haproxy", 0)])
async def test_whoever_is_in_a_room_meets_at_one_worker(
    crewed: Crewed, tmp_path: Path, name: str, pool: int
) -> None:
    """N1: though the proxy would use the connection of one request for the next, of another room's."""
    token = crewed.guest()
    rooms = [crewed.room_of(token, slot) for slot in range(2)]
    with Balancer(name, tmp_path / "balancer", [crewed.port, crewed.port], pool) as balancer:
        for slot, room_id in enumerate(rooms):
            paths = ("/", "/api/v1/config", "/api/v1/rooms", f"/api/v1/rooms/{room_id}")
            async with AsyncExitStack() as lines:
                for _ in range(6):
                    with httpx2.Client(
                        verify=trusting(), base_url=balancer.url, headers=bearer(token), timeout=30
                    ) as page:
                        for path in (*paths, f"/parties/{room_id}/base"):
                            assert page.get(path).status_code == 200
                    url = f"wss://127.0.0.1:{balancer.port}/parties/{room_id}?token={token}"
                    line = await lines.enter_async_context(websockets.connect(url, ssl=trusting()))
                    assert await line.recv()
                assert seats(crewed)[slot] == 6
            await asyncio.to_thread(until, lambda: seats(crewed) == [0, 0], "all have left")


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_only_a_proxy_s_connection_to_several_workers_ends_behind_the_answer(
    crewed: Crewed, pair: Pair, name: str
) -> None:
    """N1: a browser's own goes on, and so does each to one process."""

    def ends(server: LiveServer, headers: dict[str, str]) -> bool:
        answer = httpx2.get(f"{server.url}/api/v1/config", headers=headers, timeout=30)
        assert answer.status_code == 200
        return answer.headers.get("connection") == "close"

    claimed = {name: "192.0.2.7"}
    assert ends(crewed, claimed)
    assert not ends(crewed, {})
    assert not ends(pair.servers[0], claimed)


@pytest.mark.parametrize("pool", [0, 64])
def test_a_refused_upload_is_told_why(crewed: Crewed, tmp_path: Path, pool: int) -> None:
    """N1, S9: the connection that ends behind the answer is not cut off under the rest of the body."""
    token = crewed.guest()
    room_id = crewed.room_of(token, 0)
    headers = bearer(token) | {"Content-Type": "application/octet-stream"}
    with Balancer("nginx", tmp_path / "balancer", [crewed.port, crewed.port], pool) as balancer:
        for _ in range(10):
            with httpx2.Client(verify=trusting(), base_url=balancer.url, timeout=30) as client:
                large = client.post(f"/parties/{room_id}", content=bytes(3_000_000), headers=headers)
            assert (large.status_code, large.json()["code"]) == (413, "too_large")
