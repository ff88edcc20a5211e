"""What is counted between processes: two on a real PostgreSQL and a real Redis, and each number moves."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Map
from pydantic import SecretStr

from party.ports import Principal
from server import reporter
from server.rates import failover
from server.redis import client
from server.redis.bus import LARGEST_BYTES
from tests.backends.valkey import Valkey, open_valkey
from tests.party.peers import Peer
from tests.server.assets.pictures import png
from tests.server.assets.sending import enter
from tests.server.edge import Edge, Person, open_edge
from tests.server.redis.hearing import until
from tests.server.test_metrics import Numbers

WANTED = (
    # what people and operators were promised to see
    *("connections", "rooms_open", "tick_lag_seconds_bucket", "updates_total", "deliveries_total"),
    *("received_bytes_total", "sent_bytes_total", "commit_seconds_bucket", "journal_length_rows"),
    *("outbox_drops_total", "catch_ups_total", "updates_refused_total", "joins_refused_total"),
    *("bus_lag_seconds_bucket", "bus_gaps_total", "cache_requests_total", "blob_bytes_total"),
    *("rate_denials_total", "rooms_created_total", "disconnects_total", "backend_seconds_bucket"),
    *("backend_errors_total", "bus_messages_total", "bus_lost_total", "bus_rejoins_total"),
    *("rate_fallbacks_total", "bus_rows_total", "bus_bytes_total"),
)


@pytest.fixture
def own() -> Iterator[Valkey]:
    with open_valkey() as server:
        yield server


@asynccontextmanager
async def open_two(
    tmp_path: Path, database: str, server: Valkey, **of_one: Any
) -> AsyncIterator[tuple[Edge, Edge]]:
    """Two processes as far as they know, with one rate that is soon too much."""
    same = {
        "redis_url": SecretStr(server.url()),
        "secret": SecretStr("0123456789abcdef0123456789abcdef"),
        "blobs_url": f"file://{tmp_path / 'blobs'}",
        "rate_limits": "rooms.create=3/60",
    }
    async with (
        open_edge(tmp_path / "one", database, **(same | of_one)) as one,
        open_edge(tmp_path / "two", database, **same) as two,
    ):
        await until(lambda: len(one.services.notes.nodes()) == len(two.services.notes.nodes()) == 2)
        yield one, two


async def draw(peer: Peer, *others: Peer, key: str, value: object = 1) -> None:
    """One edit, until the others have it."""
    peer.doc.get("things", type=Map)[key] = value
    peer.flush()
    async with asyncio.timeout(60):
        while not all(key in other.doc.get("things", type=Map) for other in others):
            await asyncio.sleep(0.01)
            for one in others:
                one.read()


async def test_every_number_between_processes_moves(
    tmp_path: Path, server_url: str, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1: the bus both ways, its lag, gaps, losses and new connections; caches; rates; Redis; appends."""
    monkeypatch.setattr(reporter, "EVERY_S", 0.05)
    # a machine that is busy is no Redis that is away
    monkeypatch.setattr(failover, "DEADLINE_S", 60)
    monkeypatch.setattr(client, "DEADLINE_S", 60)
    began = time.monotonic()
    async with open_two(tmp_path, server_url, own) as (one, two):
        ada = await enter(one)
        room_id = (await ada.person.room(schema="open"))["id"]
        peers = [Peer(Principal(f"u{nth}", f"U{nth}")) for nth in range(2)]
        for peer, edge in zip(peers, (one, two), strict=True):
            await peer.connect(edge.services.hub, room_id)
        await until(
            lambda: all(room.is_shared for edge in (one, two) for room in edge.services.hub.rooms.values())
        )
        before = Numbers(two.services)
        await draw(peers[0], peers[1], key="small")
        # more than goes by the bus: the other reads it in the journal
        await draw(peers[0], peers[1], key="large", value="x" * 100_000)
        now = Numbers(two.services)
        assert now.of("bus_gaps_total") > before.of("bus_gaps_total")
        for name in ("bus_messages_total", "bus_bytes_total", "bus_rows_total"):
            assert now.of(name, direction="in") > before.of(name, direction="in"), name
        await until(lambda: Numbers(one.services).of("commit_seconds_count") >= 2)
        first = Numbers(one.services)
        for name in ("bus_messages_total", "bus_bytes_total", "bus_rows_total"):
            assert first.of(name, direction="out") > 0, name
        assert first.of("backend_seconds_count", service="database", operation="append") >= 2
        # beats come back by themselves
        await until(lambda: Numbers(one.services).of("bus_lag_seconds_count") >= 2)
        lag = one.services.tally.bus.lag
        assert 0 < lag.sum_s < (time.monotonic() - began) * lag.count

        # caches
        asset = await ada.stored(png())
        guest = Person(two.http, ada.person.token, ada.person.user_id)
        # a machine that is busy may be too late for Redis now and then, and goes on without
        async with asyncio.timeout(60):
            while not Numbers(two.services).of("cache_requests_total", cache="assets", result="hit"):
                answer = await guest.ask("GET", f"/api/v1/assets/{asset['id']}/metadata")
                assert answer.status_code == 200
        assert Numbers(two.services).of("cache_requests_total", cache="assets", result="miss") >= 1

        # rates, which both count together
        assert (await guest.ask("POST", "/api/v1/rooms", json={})).status_code == 201
        assert (await guest.ask("POST", "/api/v1/rooms", json={})).status_code == 429
        now = Numbers(two.services)
        assert now.of("rate_denials_total", action="rooms.create") == 1
        for operation in ("take", "tell_node", "nodes", "cache_find", "cache_keep"):
            assert now.of("backend_seconds_count", service="redis", operation=operation) >= 1, operation

        # what is lost, and the way that is opened anew
        bus, before = two.services.tally.bus, Numbers(two.services)
        own.command("PUBLISH", "kanvas:bus:0:all", "nonsense")
        two.services.bus.send(b"x" * (LARGEST_BYTES + 1))
        await until(lambda: bus.unheard == 1)
        now = Numbers(two.services)
        for why in ("unreadable", "full"):
            assert now.of("bus_lost_total", why=why) > before.of("bus_lost_total", why=why), why
        rejoins = bus.rejoins
        own.command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: bus.rejoins > rejoins)
        assert Numbers(two.services).of("bus_rejoins_total") == bus.rejoins

        # without Redis, somebody who was not refused
        ben = await two.guest("Ben")
        before = Numbers(two.services)
        await asyncio.to_thread(own.stop)
        assert (await ben.ask("POST", "/api/v1/rooms", json={})).status_code == 201
        now = Numbers(two.services)
        assert now.of("rate_fallbacks_total") == before.of("rate_fallbacks_total") + 1
        failed = [
            name for name, value in now.all.items() if name[0] == "kanvas_backend_errors_total" and value
        ]
        assert ("service", "redis") in {label for _, labels in failed for label in labels}


async def test_every_number_that_was_promised_is_there(tmp_path: Path, empty_database: Path) -> None:
    """M1: by its name and type, before anything has happened."""
    async with open_edge(tmp_path, empty_database) as edge:
        from server.exposition import scrape

        text = scrape(edge.services).decode()
    # a family that counts by words has no row before the first, but it says what it is
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {f"kanvas_{name.removesuffix('_bucket')}" for name in WANTED} <= told
