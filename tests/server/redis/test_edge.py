"""Two processes that share a database and a Redis: who is where, what is known of files, and health."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from party.errors import RoomNotFound
from party.ports import Principal
from server import reporter
from server.rates import failover
from server.redis import directory as redis_directory
from tests.backends.valkey import Valkey, open_valkey
from tests.party.peers import Wire
from tests.server.assets.pictures import noise, png
from tests.server.assets.sending import enter
from tests.server.assets.test_sweep import age, sweep
from tests.server.edge import Edge, Person, open_edge
from tests.server.redis.hearing import until

ACTIVE = "/api/v1/rooms/active"
pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def own() -> Iterator[Valkey]:
    with open_valkey() as server:
        yield server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes two seconds takes a twentieth."""
    for name in ("EVERY_S", "ALONE_S", "AFTER_FAILURE_S"):
        monkeypatch.setattr(reporter, name, 0.05)
    monkeypatch.setattr(redis_directory, "ACTIVE_KEPT_S", 0.0)
    monkeypatch.setattr(redis_directory, "NODES_KEPT_S", 0.0)


@asynccontextmanager
async def open_two(tmp_path: Path, empty_database: Path, server: Valkey) -> AsyncIterator[tuple[Edge, Edge]]:
    url = SecretStr(server.url())
    async with (
        open_edge(tmp_path, empty_database, redis_url=url) as one,
        open_edge(tmp_path, empty_database, redis_url=url) as two,
    ):
        await until(lambda: one.services.bus.is_connected and two.services.bus.is_connected)
        yield one, two


async def sit(edge: Edge, person: Person, room_id: str, name: str = "Ada") -> Wire:
    """In the room by a connection to this process, and noted as a visitor."""
    connection = Wire()
    await edge.services.hub.join(room_id, Principal(person.user_id, name), connection)
    edge.services.visits.note(room_id, person.user_id, name)
    await edge.services.visits.write()
    return connection


async def ask(edge: Edge, person: Person, path: str) -> dict[str, object]:
    """A person may ask either process: they share the secret."""
    answer = await Person(edge.http, person.token, person.user_id).ask("GET", path)
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


async def eventually(edge: Edge, person: Person, path: str, is_so: object) -> dict[str, object]:
    """Ask until the answer is right."""
    assert callable(is_so)
    async with asyncio.timeout(120):
        while not is_so(told := await ask(edge, person, path)):
            await asyncio.sleep(0.05)
    return told


def items(told: dict[str, object]) -> list[tuple[object, object]]:
    listed = told["items"]
    assert isinstance(listed, list)
    return [(one["id"], one["participant_count"]) for one in listed]


async def test_active_rooms_of_both_processes(tmp_path: Path, empty_database: Path, own: Valkey) -> None:
    async with open_two(tmp_path, empty_database, own) as (one, two):
        ada, ben = await one.guest("Ada"), await two.guest("Ben")
        for room_id, visibility in (("busy", "public"), ("quiet", "public"), ("hidden", "unlisted")):
            await ada.room(id=room_id, visibility=visibility)
        await sit(one, ada, "busy")
        await sit(two, ben, "busy", "Ben")
        await sit(two, ben, "hidden", "Ben")
        await sit(two, ben, "quiet", "Ben")
        for edge in (one, two):
            await eventually(edge, ada, ACTIVE, lambda told: items(told) == [("busy", 2), ("quiet", 1)])
            assert items(await ask(edge, ada, ACTIVE + "?limit=1")) == [("busy", 2)]
            # the lists and the room itself count everybody, too
            listed = await ask(edge, ada, "/api/v1/rooms?scope=mine")
            assert sorted(items(listed)) == [("busy", 2), ("hidden", 1), ("quiet", 1)]
            seen = await ask(edge, ada, "/api/v1/rooms/busy")
            assert seen["participant_count"] == 2
            people = await ask(edge, ada, "/api/v1/rooms/busy/participants")
            assert isinstance(people["items"], list)
            assert [one["present"] for one in people["items"]] == [True, True]
        # unlisted from now on: at once, whatever Redis still says
        changed = await ada.ask("PATCH", "/api/v1/rooms/busy", json={"visibility": "unlisted"})
        assert changed.status_code == 200
        assert items(await ask(two, ben, ACTIVE)) == [("quiet", 1)]
        deleted = await ada.ask("DELETE", "/api/v1/rooms/quiet")
        assert deleted.status_code == 204
        assert items(await ask(two, ben, ACTIVE)) == []


async def test_where_somebody_is(tmp_path: Path, empty_database: Path, own: Valkey) -> None:
    async with open_two(tmp_path, empty_database, own) as (one, two):
        ada, ben, eve = await one.guest("Ada"), await two.guest("Ben"), await two.guest("Eve")
        await ada.room(id="shared", title="Shared")
        await ben.room(id="secret", title="Secret")
        await sit(one, ada, "shared")
        await sit(two, ben, "shared", "Ben")
        path = f"/api/v1/users/{ben.user_id}/presence"
        told = await eventually(one, ada, path, lambda told: told["online"])
        assert told["room"] == {"id": "shared", "title": "Shared"}
        # nobody learns of whom they never met, nor whether there is such a person
        for unknown in (path, "/api/v1/users/nobody/presence"):
            refused = await eve.ask("GET", unknown)
            assert (refused.status_code, refused.json()["code"]) == (404, "user_not_found")
        # nor of a room they were never in
        await two.services.hub.evict("shared", RoomNotFound())
        await sit(two, ben, "secret", "Ben")
        told = await eventually(one, ada, path, lambda told: told["online"] and told["room"] is None)
        assert "secret" not in str(told)
        assert (await ask(one, ben, path))["room"] == {"id": "secret", "title": "Secret"}
        await two.services.hub.evict("secret", RoomNotFound())
        told = await eventually(one, ada, path, lambda told: not told["online"])
        assert told["last_seen_at"] is not None


async def test_metadata_only_for_who_may_read_the_room(
    tmp_path: Path, empty_database: Path, own: Valkey
) -> None:
    """The cache is in front of the row of the file, never in front of the room's."""
    async with open_two(tmp_path, empty_database, own) as (one, two):
        ada = await enter(one)
        asset = await ada.stored(png())
        path = f"/api/v1/assets/{asset['id']}/metadata"
        first = await ask(two, ada.person, path)
        cache = two.services.backplane.asset_cache
        assert cache is not None
        hits = cache.hits
        assert await ask(two, ada.person, path) == first
        assert cache.hits == hits + 1
        deleted = await ada.person.ask("DELETE", f"/api/v1/rooms/{ada.room_id}")
        assert deleted.status_code == 204
        for edge in (one, two):
            gone = await Person(edge.http, ada.person.token, ada.person.user_id).ask("GET", path)
            assert (gone.status_code, gone.json()["code"]) == (404, "asset_not_found")
        assert cache.hits > hits + 1


async def test_a_change_of_a_file_is_seen_by_the_other_process(
    tmp_path: Path, empty_database: Path, own: Valkey
) -> None:
    """Renditions come a moment after the row was kept, and a sweep takes it away."""
    async with open_two(tmp_path, empty_database, own) as (one, two):
        ada = await enter(one)
        asset = await ada.stored(noise(600, 600), "image/jpeg", filename="a.jpg")
        path = f"/api/v1/assets/{asset['id']}/metadata"
        told = await eventually(two, ada.person, path, lambda told: told["renditions"])
        assert isinstance(told["renditions"], list)
        await sweep(one)
        await age(one, timedelta(days=8))
        await sweep(one)
        gone = await Person(two.http, ada.person.token, ada.person.user_id).ask("GET", path)
        assert gone.status_code == 404


async def test_without_redis_everything_goes_on_and_is_called_degraded(
    tmp_path: Path, empty_database: Path, own: Valkey, patient: Callable[[], None]
) -> None:
    async with open_two(tmp_path, empty_database, own) as (one, _):
        ada = await one.guest("Ada")
        await ada.room(id="here", visibility="public")
        await sit(one, ada, "here")
        await eventually(one, ada, ACTIVE, items)
        os.kill(own.pid, signal.SIGSTOP)
        patient()
        try:
            await until(lambda: not one.services.bus.is_connected)
            ready = await one.http.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            assert ready.json()["reasons"] == [
                "Redis is away: it does not answer; edits reach other processes later"
            ]
            assert items(await ask(one, ada, ACTIVE)) == [("here", 1)]
            assert items(await ask(one, ada, "/api/v1/rooms?scope=mine")) == [("here", 1)]
            nowhere = await ask(one, ada, f"/api/v1/users/{ada.user_id}/presence")
            assert nowhere == {"online": None, "room": None, "last_seen_at": None}
        finally:
            os.kill(own.pid, signal.SIGCONT)
        await until(lambda: one.services.directory.trouble is None)
        assert (await one.http.get("/readyz")).json()["status"] == "ok"


async def test_a_start_without_redis_is_ready_and_finds_it_later(
    tmp_path: Path, empty_database: Path
) -> None:
    server = Valkey()
    try:
        async with open_edge(tmp_path, empty_database, redis_url=SecretStr(server.url())) as edge:
            ready = await edge.http.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            server.start()
            await until(lambda: edge.services.directory.trouble is None)
    finally:
        server.close()


async def test_a_process_that_ends_leaves_the_directory_at_once(
    tmp_path: Path, empty_database: Path, own: Valkey
) -> None:
    url = SecretStr(own.url())
    async with open_edge(tmp_path, empty_database, redis_url=url) as one:
        ada = await one.guest("Ada")
        await ada.room(id="left", visibility="public")
        async with open_edge(tmp_path, empty_database, redis_url=url) as two:
            await sit(two, ada, "left")
            await eventually(one, ada, ACTIVE, items)
        assert items(await ask(one, ada, ACTIVE)) == []


async def test_the_word_of_an_address_is_no_room(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        refused = await ada.ask("POST", "/api/v1/rooms", json={"id": "active"})
        assert refused.status_code == 409


async def test_a_process_alone_has_its_own_directory(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        await ada.room(id="alone", visibility="public")
        assert items(await ask(edge, ada, ACTIVE)) == []
        await sit(edge, ada, "alone")
        told = await eventually(edge, ada, ACTIVE, items)
        assert items(told) == [("alone", 1)]
        told = await ask(edge, ada, f"/api/v1/users/{ada.user_id}/presence")
        assert (told["online"], told["room"]) == (True, {"id": "alone", "title": "Untitled"})


async def test_signing_in_goes_on_as_soon_as_redis_is_back(
    tmp_path: Path, empty_database: Path, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7: the pause between two looks is over then, however long it is; here an hour."""
    monkeypatch.setattr(failover, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(failover, "LAST_PAUSE_S", 3600.0)
    guest = {"json": {"name": "Eve"}}
    async with open_edge(tmp_path, empty_database, redis_url=own.url(), rate_limits="") as edge:
        await until(lambda: edge.services.bus.is_connected)
        assert (await edge.http.post("/api/v1/auth/guest", **guest)).status_code == 201
        await asyncio.to_thread(own.stop)
        assert (await edge.http.post("/api/v1/auth/guest", **guest)).status_code == 503
        await until(lambda: not edge.services.bus.is_connected)
        assert edge.services.rates.is_degraded
        await asyncio.to_thread(own.start)
        await until(lambda: edge.services.bus.is_connected)
        assert not edge.services.rates.is_degraded
        assert (await edge.http.post("/api/v1/auth/guest", **guest)).status_code == 201
