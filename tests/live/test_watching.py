"""A real server that is watched: what sockets do is counted."""

import asyncio
from collections.abc import Iterator

import httpx2
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from party import wire
from tests.servers import LiveServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("watching") / "data") as running:
        yield running


def numbers(server: LiveServer) -> dict[tuple[str, str], float]:
    """By name and first label."""
    text = httpx2.get(f"{server.url}/metrics", timeout=30).text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_sockets_are_counted_by_how_they_ended(server: LiveServer) -> None:
    """M1, M2: a close of theirs, one without a word, one of ours, a refusal; bytes; none is left."""
    token = server.guest()
    url = f"{server.ws_url}/{server.room(token, schema='open')}?token={token}"
    async with websockets.connect(url) as client:
        await client.send(wire.encode_step_1(b"\x00"))
        await client.recv()
        assert numbers(server)[("kanvas_connections", "")] == 1
    async with websockets.connect(url) as client:
        await client.close(4999)
    cut = await websockets.connect(url)
    cut.transport.abort()
    async with websockets.connect(url) as client:
        await client.send(b"\xff")
        await client.wait_closed()
    async with websockets.connect(f"{server.ws_url}/no-such-room?token={token}") as client:
        await client.wait_closed()
    async with asyncio.timeout(30):
        # who was gone before the room was open joins all the same
        while (found := numbers(server))["kanvas_connections", ""] or found["kanvas_joins_total", ""] < 4:
            await asyncio.sleep(0.05)
    ended = {code: value for (name, code), value in found.items() if name == "kanvas_disconnects_total"}
    assert ended == {"1000": 1, "other": 1, "1006": 1, "4400": 1, "4404": 1}
    assert found["kanvas_joins_refused_total", "room_not_found"] == 1
    assert found["kanvas_joins_total", ""] == 4
    assert found["kanvas_received_bytes_total", ""] > 0
    assert found["kanvas_ready", ""] == 1
    assert found["process_cpu_seconds_total", ""] > 0


async def test_the_operators_page_is_served_as_a_page(server: LiveServer) -> None:
    """M8: anybody may load it; it shows nothing without a token."""
    answer = httpx2.get(f"{server.url}/admin", timeout=30)
    assert answer.headers["content-type"].startswith("text/html")
    assert httpx2.get(f"{server.url}/api/v1/admin/rooms", timeout=30).status_code == 401
